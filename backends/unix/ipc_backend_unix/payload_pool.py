"""Large payloads at the sender: in memory that is used again.

Fresh pages cost more than the copy, so a sender keeps a few memfds, and reads in the first byte of
each whether its receiver has finished with it (see `peer_memory`). It reads nothing else there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ipc_backend_unix.descriptors import (
    Descriptor,
    keep_from_shrinking,
    new_memory,
    write_all,
)
from ipc_backend_unix.peer_memory import FREE, HEAD_SIZE, HELD, SENT
from ipc_core.spi import Buffer

KEPT_REGIONS = 4
LARGEST_KEPT = 64 << 20
"""Bytes of payload. The memory of a larger one is used once."""

_HEAD = SENT.ljust(HEAD_SIZE, b"\0")


class PayloadPool:
    """The memfds of one writer for large payloads."""

    def __init__(self) -> None:
        self._regions: list[Descriptor] = []

    def fill(self, buffers: Sequence[Buffer], size: int) -> Descriptor | None:
        """Put a payload in memory that no receiver uses; return None if all is in use.

        Raises OSError when the system has no room.
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
            return _new_region()
        held = None
        for region in self._regions:
            state = os.pread(region.fd, 1, 0)
            if state in (FREE, b""):
                return region
            if state == HELD:
                held = region
        if len(self._regions) == KEPT_REGIONS:
            if held is None:
                return None
            self.drop(held)  # it belongs to the receiver from now on
        self._regions.append(_new_region())
        return self._regions[-1]

    def drop(self, region: Descriptor) -> None:
        """Forget memory. The kernel frees it when no receiver has it."""
        if region in self._regions:
            self._regions.remove(region)
        region.close()

    def sent(self, region: Descriptor) -> None:
        """Keep the memory of a payload that was sent, unless it is too large to keep."""
        if region not in self._regions:
            region.close()

    def close(self) -> None:
        """Forget all memory."""
        while self._regions:
            self._regions.pop().close()


def _new_region() -> Descriptor:
    region = new_memory()
    keep_from_shrinking(region.fd)
    return region
