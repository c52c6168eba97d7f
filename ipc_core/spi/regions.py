"""Handles on shared memory, for backends whose memory is freed when nothing refers to it."""

from __future__ import annotations

import ipc_core._typing as t
from ipc_core.spi.errors import ClosedError
from ipc_core.spi.handles import Kind


class Region(t.Protocol):
    """The memory, shared by all handles of this process."""

    size: int

    def view(self) -> memoryview:
        """All its bytes, writable; the view keeps them. Raises IpcIOError when the system
        refuses."""


R = t.TypeVar("R", bound=Region)


class RegionHandle(t.Generic[R]):
    """See OsIpcSharedMemory."""

    kind: t.ClassVar[Kind] = Kind.SHARED_MEMORY

    def __init__(self, region: R) -> None:
        self._region: R | None = region

    @property
    def region(self) -> R:
        """Raises ClosedError after `close`."""
        if self._region is None:
            raise ClosedError("this shared memory is closed")
        return self._region

    @property
    def buffer(self) -> memoryview:
        """See OsIpcSharedMemory.buffer."""
        return self.region.view()

    def __len__(self) -> int:
        return self.region.size

    def clone(self) -> t.Self:
        """See OsIpcSharedMemory.clone."""
        return type(self)(self.region)

    def close(self) -> None:
        """See OsIpcSharedMemory.close."""
        self._region = None
