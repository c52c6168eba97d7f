"""Shared memory regions: memfds whose size is sealed, shared by descriptor."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from weakref import WeakValueDictionary

from ipc_backend_unix.attachments import Lendable
from ipc_backend_unix.descriptors import (
    Descriptor,
    close_fds,
    freeze_size,
    new_memory,
    write_all,
)
from ipc_backend_unix.errors import io_error, translated
from ipc_core.spi import Buffer, DecodeError, Kind, RegionHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class _Region:
    """The memory of a region, mapped on first use. `memory` is None for a region of no bytes."""

    def __init__(self, memory: Descriptor | None, size: int) -> None:
        self.memory = memory
        self.size = size
        self._view: memoryview | None = None

    def view(self) -> memoryview:
        """See Region.view."""
        if self._view is None:
            try:
                self._view = _mapped(self.memory.fd, self.size) if self.memory else _nothing()
            except OSError as error:
                raise translated(error) from error
        return self._view


def _nothing() -> memoryview:
    return memoryview(bytearray())


def _mapped(fd: int, size: int) -> memoryview:
    if sys.version_info >= (3, 13):
        return memoryview(mmap.mmap(fd, size, trackfd=False))
    return memoryview(mmap.mmap(fd, size))


class UnixSharedMemory(RegionHandle[_Region], Lendable):
    """See OsIpcSharedMemory. The mapping holds a second descriptor before Python 3.13."""

    kind: ClassVar[Kind] = Kind.SHARED_MEMORY

    def lend(self) -> tuple[int, list[int], Callable[[bool], object]]:
        """See Lendable.lend. The function that ends the loan keeps the region until then."""
        region = self.region
        return region.size, [region.memory.fd] if region.memory else [], lambda sent: region


def make_region(data_or_size: Buffer | int) -> UnixSharedMemory:
    """See Backend.shared_memory.

    Pages of a region made by size are taken when they are touched. The kernel promises more than
    it has, so a region larger than the memory of the machine is refused here.
    """
    if not isinstance(data_or_size, int):
        return fill_region([data_or_size], len(data_or_size))
    if not data_or_size:
        return UnixSharedMemory(_Region(None, 0))
    memory = _memory_for(data_or_size)
    try:
        os.ftruncate(memory.fd, data_or_size)
        if _keeps_strict_account():
            os.posix_fallocate(memory.fd, 0, data_or_size)
    except OSError as error:
        raise translated(error) from error
    return _registered(memory, data_or_size)


def fill_region(chunks: Iterable[Buffer], size: int) -> UnixSharedMemory:
    """See Backend.filled_memory. Writing takes half the time of touching a mapping."""
    if not size:
        return UnixSharedMemory(_Region(None, 0))
    memory = _memory_for(size)
    written = 0
    for chunk in chunks:
        try:
            write_all(memory.fd, [chunk], written)
        except OSError as error:
            raise translated(error) from error
        written += len(chunk)
    return _registered(memory, size)


def _memory_for(size: int) -> Descriptor:
    if size > os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE:
        raise io_error(errno.ENOMEM, f"{size} bytes are more than the memory of this machine")
    try:
        return new_memory()
    except OSError as error:
        raise translated(error) from error


@cache
def _keeps_strict_account() -> bool:
    """Return whether the kernel refuses memory that it does not have (vm.overcommit_memory = 2).

    It then kills a process that touches memory which was not asked for before.
    """
    try:
        with open("/proc/sys/vm/overcommit_memory", "rb") as file:
            return file.read(1) == b"2"
    except OSError:
        return False


_regions: WeakValueDictionary[tuple[int, int, int], _Region] = WeakValueDictionary()
"""The regions of this process, by device, inode and size. A region that comes back while this
process has it is the same, with its mapping and descriptor."""


def _registered(memory: Descriptor, size: int) -> UnixSharedMemory:
    """Return a handle on this memory, whose size is fixed from now on.

    Takes over the descriptor, and closes it if this process has one for the same memory. Raises
    DecodeError for memory that is smaller, or not sealable.
    """
    try:
        if freeze_size(memory.fd) < size:
            raise DecodeError(f"a region of {size} bytes is larger than its memory")
    except BaseException:
        memory.close()
        raise
    status = os.fstat(memory.fd)
    key = status.st_dev, status.st_ino, size
    region = _regions.get(key)
    if region is None:
        region = _regions[key] = _Region(memory, size)
    else:
        memory.close()
    return UnixSharedMemory(region)


def region_from_fds(fds: list[int], size: int) -> UnixSharedMemory:
    """Make a handle on a received region. See Makers."""
    if len(fds) != (1 if size else 0):
        close_fds(fds)
        raise DecodeError(f"a region of {size} bytes cannot have {len(fds)} descriptors")
    if not size:
        return UnixSharedMemory(_Region(None, 0))
    return _registered(Descriptor(fds[0]), size)
