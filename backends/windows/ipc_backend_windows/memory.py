"""Memory that travels by handle: a file mapping backed by the paging file."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable

from ipc_backend_windows import win32
from ipc_backend_windows.attachments import Lendable
from ipc_backend_windows.errors import last_error, translated
from ipc_backend_windows.kernel_handles import Handle
from ipc_backend_windows.section import new_section
from ipc_backend_windows.wire import Entry
from ipc_core.spi import Buffer, RegionHandle


class _Region:
    """What the handles of one region in this process share. Empty regions have no section."""

    def __init__(self, section: Handle | None, size: int) -> None:
        self.section = section
        self.size = size
        self._view: memoryview | None = None

    def view(self) -> memoryview:
        """The mapping, which lives as long as anything refers to it."""
        if self._view is None:
            try:
                self._view = _mapped(self.section, self.size) if self.section else _nothing()
            except OSError as error:
                raise translated(error) from error
        return self._view[:]


def _nothing() -> memoryview:
    return memoryview(bytearray())


def _mapped(section: Handle, size: int) -> memoryview:
    address = win32.MapViewOfFile(section.value, win32.FILE_MAP_READ_WRITE, 0, 0, size)
    if not address:
        raise last_error()
    memory = (ctypes.c_ubyte * size).from_address(address)
    unmap = weakref.finalize(memory, win32.UnmapViewOfFile, address)
    unmap.atexit = False  # views may be used until the very end
    return memoryview(memory).cast("B")


class WindowsSharedMemory(RegionHandle[_Region], Lendable):
    """See OsIpcSharedMemory."""

    def lend(self) -> tuple[Entry, None, Callable[[bool], object]]:
        region = self.region
        handle = region.section.value if region.section else 0
        return Entry(self.kind, region.size, handle, 0, bytes(16)), None, lambda sent: region


def make_region(data_or_size: Buffer | int) -> WindowsSharedMemory:
    """See Backend.shared_memory. The system sets the memory aside when a region is made."""
    size = data_or_size if isinstance(data_or_size, int) else memoryview(data_or_size).nbytes
    if not size:
        return WindowsSharedMemory(_Region(None, 0))
    try:
        region = _Region(new_section(size), size)
    except OSError as error:
        raise translated(error) from error
    if not isinstance(data_or_size, int):
        region.view()[:] = memoryview(data_or_size).cast("B")
    return WindowsSharedMemory(region)


def region_from_entry(entry: Entry) -> WindowsSharedMemory:
    if not entry.first:
        if entry.number:
            raise OSError(22, "a region without memory")
        return WindowsSharedMemory(_Region(None, 0))
    region = _Region(Handle(entry.first), entry.number)
    region.view()  # fails for memory that is smaller than it is said to be
    return WindowsSharedMemory(region)
