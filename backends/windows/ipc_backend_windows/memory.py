"""Shared memory regions, each a section whose handle travels in messages."""

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
    """A region as shared by its handles in this process. An empty region has no section."""

    def __init__(self, section: Handle | None, size: int) -> None:
        self.section = section
        self.size = size
        self._view: memoryview | None = None

    def view(self) -> memoryview:
        """Return a view of the bytes. The mapping, made once, lives as long as any view of it."""
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
    unmap.atexit = False  # other code's exit handlers may still use a view
    return memoryview(memory).cast("B")


class WindowsSharedMemory(RegionHandle[_Region], Lendable):
    """See OsIpcSharedMemory."""

    def lend(self) -> tuple[Entry, None, Callable[[bool], object]]:
        """See Lendable.lend. The loan refers to the region, which keeps its section open."""
        region = self.region
        handle = region.section.value if region.section else 0
        return Entry(self.kind, region.size, handle, 0, bytes(16)), None, lambda sent: region


def make_region(data_or_size: Buffer | int) -> WindowsSharedMemory:
    """See Backend.shared_memory. The system commits the memory when the region is made, so that a
    later write cannot fail for lack of it."""
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
    """Make the handle for a region that has arrived; see Makers."""
    if not entry.first:
        if entry.number:
            raise OSError(22, "a region without memory")
        return WindowsSharedMemory(_Region(None, 0))
    region = _Region(Handle(entry.first), entry.number)
    region.view()  # raises for a section smaller than the entry says
    return WindowsSharedMemory(region)
