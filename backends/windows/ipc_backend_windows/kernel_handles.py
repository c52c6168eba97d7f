"""Kernel handles of this process and of others: owning, copying and recovering them.

A handle is a number in the table of one process, so it is named by the number and the process. A
process is named by its id and its time of birth, since the system uses ids again.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import NamedTuple

from ipc_backend_windows import win32
from ipc_backend_windows.errors import last_error


class Handle:
    """A handle of this process, owned: it is closed with this object, if not before."""

    __slots__ = ("value",)

    def __init__(self, value: int | None) -> None:
        """Own the handle that a call returned. Raises the call's OSError if it returned none."""
        self.value = 0
        if value in (None, 0, win32.INVALID_HANDLE_VALUE):
            raise last_error()
        self.value = value or 0

    def close(self) -> None:
        """Close the handle. Closing twice does nothing."""
        value, self.value = self.value, 0
        if value:
            win32.CloseHandle(value)

    def detach(self) -> int:
        """Return the number, which the caller owns from now on."""
        value, self.value = self.value, 0
        return value

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


class Process(NamedTuple):
    """The name of a process: its id and its time of creation, in the system's units of 100 ns."""

    pid: int
    born: int


_me: list[Process] = []
_MYSELF = Handle(win32.CURRENT_PROCESS)


def this_process() -> Process:
    """Return the name of this process."""
    if not _me:
        _me.append(Process(win32.GetCurrentProcessId(), _born(win32.CURRENT_PROCESS)))
    return _me[0]


def _born(process: int) -> int:
    times = [ctypes.c_uint64() for _ in range(4)]
    if not win32.GetProcessTimes(process, *map(ctypes.byref, times)):
        raise last_error()
    return times[0].value


def opened(process: Process) -> Handle:
    """Return a handle to a process by which handles can be duplicated from and to it.

    Raises OSError for a process that is gone or that this user may not open.
    """
    if process == this_process():
        return _MYSELF
    rights = win32.PROCESS_DUP_HANDLE | win32.PROCESS_QUERY_LIMITED_INFORMATION
    found = Handle(win32.OpenProcess(rights, False, process.pid))
    if _born(found.value) != process.born:
        raise ctypes.WinError(win32.ERROR_FILE_NOT_FOUND)
    return found


def copy(handle: int, source: int, target: int, address: int | None = None) -> int:
    """Duplicate a handle of the process `source` into `target`; return its number there.

    The system itself writes the number to `address`, if one is given. So a process that is killed
    in this call has either made no handle or left a note of it. Raises OSError.
    """
    number = ctypes.c_uint64()
    place = ctypes.addressof(number) if address is None else address
    same = win32.DUPLICATE_SAME_ACCESS
    if not win32.DuplicateHandle(source, handle, target, place, 0, False, same):
        raise last_error()
    return number.value if address is None else ctypes.c_uint64.from_address(address).value


def close_in(process: int, handle: int) -> None:
    """Close a handle in the table of any process; do nothing if it is closed already."""
    if process == win32.CURRENT_PROCESS:
        win32.CloseHandle(handle)
    else:
        flags = win32.DUPLICATE_CLOSE_SOURCE
        win32.DuplicateHandle(process, handle, None, None, 0, False, flags)


def recover(handles: Sequence[int], source: Process) -> list[int]:
    """Move handles from the table of `source`, which may be this process, into this process's.

    Returns the new numbers; the old handles are closed. Raises OSError, and changes nothing, for
    a process that cannot be opened and for a handle that is not there.
    """
    process = opened(source)
    recovered: list[int] = []
    try:
        for handle in handles:
            new = copy(handle, process.value, win32.CURRENT_PROCESS)
            recovered.append(new)
    except BaseException:
        for handle in recovered:
            win32.CloseHandle(handle)
        raise
    for handle in handles:
        close_in(process.value, handle)
    return recovered


def new_event(is_set: bool = False) -> Handle:
    """Make an event that stays set until it is reset. Raises OSError."""
    return Handle(win32.CreateEvent(None, True, is_set, None))
