"""Sections: memory that processes share, as file mappings backed by the paging file."""

from __future__ import annotations

import ctypes
import errno
import sys

from ipc_backend_windows import win32
from ipc_backend_windows.errors import last_error
from ipc_backend_windows.kernel_handles import Handle
from ipc_backend_windows.security import same_user_only


def new_section(size: int, name: str | None = None) -> Handle:
    """Make a section of `size` zero bytes, at least one. Only this user can open it by `name`.

    Raises OSError, also for a size of 0.
    """
    if not 0 < size < 1 << 47:
        raise OSError(errno.ENOMEM, "more than there are addresses")
    attributes = ctypes.byref(same_user_only()) if name else None
    return Handle(
        win32.CreateFileMapping(
            win32.INVALID_HANDLE_VALUE,
            attributes,
            win32.PAGE_READWRITE,
            size >> 32,
            size & 0xFFFFFFFF,
            name,
        )
    )


def open_section(name: str) -> Handle:
    """Open the section of a name. Raises OSError when there is none."""
    return Handle(win32.OpenFileMapping(win32.FILE_MAP_READ_WRITE, False, name))


class View:
    """A section mapped into this process. `bytes` must not be touched after `close`.

    The view holds the memory by itself, so the section's handle may be closed before.
    """

    def __init__(self, section: int, size: int) -> None:
        """Map `size` bytes of the section with this handle. Raises OSError if it is smaller."""
        address = win32.MapViewOfFile(section, win32.FILE_MAP_READ_WRITE, 0, 0, size)
        if not address:
            raise last_error()
        self.address: int = address
        self.size = size
        self.bytes = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    def close(self) -> None:
        """Unmap the memory. Closing twice does nothing."""
        address, self.address = self.address, 0
        if address:
            win32.UnmapViewOfFile(address)

    def __del__(self) -> None:
        if hasattr(self, "bytes") and not sys.is_finalizing():
            self.close()
