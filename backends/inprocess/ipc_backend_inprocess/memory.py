"""Memory that all holders in this process share: one bytearray."""

from __future__ import annotations

from ipc_backend_inprocess.attachments import Lendable
from ipc_core.spi import ClosedError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class InprocessSharedMemory(Lendable):
    __slots__ = ("_memory",)
    kind: ClassVar[Kind] = Kind.SHARED_MEMORY

    def __init__(self, memory: bytearray) -> None:
        self._memory: bytearray | None = memory

    @property
    def buffer(self) -> memoryview:
        """See OsIpcSharedMemory.buffer. Raises ClosedError after `close`."""
        return memoryview(self._opened())

    def __len__(self) -> int:
        return len(self._opened())

    def clone(self) -> InprocessSharedMemory:
        """See OsIpcSharedMemory.clone."""
        return InprocessSharedMemory(self._opened())

    def close(self) -> None:
        """See OsIpcSharedMemory.close."""
        self._memory = None

    def _opened(self) -> bytearray:
        memory = self._memory
        if memory is None:
            raise ClosedError("this shared memory is closed")
        return memory

    def check(self) -> None:
        self._opened()

    def lend(self) -> InprocessSharedMemory:
        return self.clone()

    def reclaim(self, lent: InprocessSharedMemory) -> None:
        lent.close()

    def abandon(self) -> None:
        self.close()
