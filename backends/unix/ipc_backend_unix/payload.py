"""Payloads too large for a packet, in memory that is used again.

Fresh pages cost more than the copy, so a sender keeps a few memfds. The first byte of each says
whether the receiver has finished with it; it lies in the memory itself, so that a receiver that
was moved to another process can say so too. The sender reads nothing else, so a peer that lies
here hurts only itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ipc_backend_unix.descriptors import Descriptor, new_memory, read_memory, write_all
from ipc_core.spi import Buffer

KEPT_REGIONS = 4
LARGEST_KEPT = 64 << 20

_FREE = b"\0"
_HEAD = b"\1" + bytes(63)


class PayloadPool:
    """A sender's memfds for large payloads."""

    def __init__(self) -> None:
        self._regions: list[Descriptor] = []

    def fill(self, buffers: Sequence[Buffer], size: int) -> Descriptor | None:
        """Put a payload in memory that the receiver does not use; None if all is in use.

        Raises OSError when there is no room.
        """
        region = self._free_region(size)
        if region is not None:
            try:
                write_all(region.fd, [_HEAD, *buffers], 0)
            except BaseException:
                self.drop(region)
                raise
        return region

    def _free_region(self, size: int) -> Descriptor | None:
        if size > LARGEST_KEPT:
            return new_memory()
        for region in self._regions:
            if os.pread(region.fd, 1, 0) in (_FREE, b""):
                return region
        if len(self._regions) == KEPT_REGIONS:
            return None
        self._regions.append(new_memory())
        return self._regions[-1]

    def drop(self, region: Descriptor) -> None:
        """Forget memory whose payload was not sent."""
        if region in self._regions:
            self._regions.remove(region)
        region.close()

    def sent(self, region: Descriptor) -> None:
        """Keep the memory of a payload that was sent, unless it is too large to keep."""
        if region not in self._regions:
            region.close()

    def close(self) -> None:
        while self._regions:
            self._regions.pop().close()


def take(fd: int, size: int) -> bytes:
    """Copy a peer's payload and tell the peer that its memory is free.

    Raises DecodeError if the memory does not hold the payload.
    """
    data = read_memory(fd, size, len(_HEAD))
    try:
        os.pwrite(fd, _FREE, 0)
    except OSError:
        pass  # a peer that made its memory unwritable does without
    return data
