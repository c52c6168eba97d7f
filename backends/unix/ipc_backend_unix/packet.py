"""Where packets are received."""

from __future__ import annotations

from ipc_backend_unix.writer import LARGEST_PACKET


class Packet:
    """A buffer that no packet of ours fills. Receivers borrow it: a new one costs more than the
    message."""

    __slots__ = ("buffer", "buffers", "view")

    def __init__(self) -> None:
        self.buffer = bytearray(2 * LARGEST_PACKET)
        self.buffers = [self.buffer]
        self.view = memoryview(self.buffer)


spare_packets: list[Packet] = []
"""As many as threads have received at the same time."""
