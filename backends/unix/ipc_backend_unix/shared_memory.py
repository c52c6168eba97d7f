"""Memory shared by descriptor: a memfd whose size is sealed."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from typing import ClassVar

from ipc_backend_unix.attachments import makes
from ipc_backend_unix.descriptors import (
    Descriptor,
    close_fds,
    freeze_size,
    new_memory,
    write_all,
)
from ipc_backend_unix.errors import io_error, translated
from ipc_core.spi import Buffer, ClosedError, DecodeError, Kind


class _Region:
    """What the handles of one region in this process share. Empty regions need no memfd."""

    def __init__(self, memory: Descriptor | None, size: int) -> None:
        self.memory = memory
        self.size = size
        self._view: memoryview | None = None

    def view(self) -> memoryview:
        if self._view is None:
            self._view = (
                memoryview(mmap.mmap(self.memory.fd, self.size))
                if self.memory
                else memoryview(bytearray())
            )
        return self._view


class UnixSharedMemory:
    """See OsIpcSharedMemory. The mapping holds a second descriptor before Python 3.13."""

    kind: ClassVar[Kind] = Kind.SHARED_MEMORY

    def __init__(self, region: _Region) -> None:
        self._region: _Region | None = region

    @property
    def buffer(self) -> memoryview:
        try:
            return self._open().view()
        except OSError as error:
            raise translated(error) from error

    def __len__(self) -> int:
        return self._open().size

    def clone(self) -> UnixSharedMemory:
        return UnixSharedMemory(self._open())

    def close(self) -> None:
        self._region = None

    def _open(self) -> _Region:
        if self._region is None:
            raise ClosedError("this shared memory is closed")
        return self._region

    def _lend(self) -> tuple[int, list[int], Callable[[bool], object]]:
        region = self._open()
        return region.size, [region.memory.fd] if region.memory else [], lambda sent: region


def make_region(data_or_size: Buffer | int) -> UnixSharedMemory:
    """See Backend.shared_memory.

    Pages of a region made by size are taken when they are touched. The kernel promises more than
    it has, so what no machine of this size can hold is refused here.
    """
    size = data_or_size if isinstance(data_or_size, int) else len(data_or_size)
    if not size:
        return UnixSharedMemory(_Region(None, 0))
    if size > os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE:
        raise io_error(errno.ENOMEM, f"{size} bytes are more than the memory of this machine")
    try:
        memory = new_memory()
        if isinstance(data_or_size, int):
            os.ftruncate(memory.fd, size)
        else:
            write_all(memory.fd, [data_or_size], 0)
        freeze_size(memory.fd)
    except OSError as error:
        raise translated(error) from error
    return UnixSharedMemory(_Region(memory, size))


@makes(Kind.SHARED_MEMORY)
def _receive_region(fds: list[int], size: int) -> UnixSharedMemory:
    if len(fds) != (1 if size else 0):
        close_fds(fds)
        raise DecodeError(f"a region of {size} bytes cannot have {len(fds)} descriptors")
    if not size:
        return UnixSharedMemory(_Region(None, 0))
    memory = Descriptor(fds[0])
    try:
        if freeze_size(memory.fd) < size:
            raise DecodeError(f"a region of {size} bytes is larger than its memory")
    except BaseException:
        memory.close()
        raise
    return UnixSharedMemory(_Region(memory, size))
