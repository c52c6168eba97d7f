"""Handles of this process, and of others: owning, copying and recovering them.

A handle is a number in the table of one process. It is identified by the process too, and a
process by its id and its time of birth, as ids are used again.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import NamedTuple

from ipc_backend_windows import win32
from ipc_backend_windows.errors import last_error


class Handle:
    """A handle that is closed with this object, or before."""

    __slots__ = ("value",)

    def __init__(self, value: int | None) -> None:
        """Raises OSError, that of the call which returned no handle."""
        self.value = 0
        if value in (None, 0, win32.INVALID_HANDLE_VALUE):
            raise last_error()
        self.value = value or 0

    def close(self) -> None:
        """Closing twice does nothing."""
        value, self.value = self.value, 0
        if value:
            win32.CloseHandle(value)

    def detach(self) -> int:
        """The number, which the caller owns from now on."""
        value, self.value = self.value, 0
        return value

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


class Process(NamedTuple):
    """Which process it is. `born` is its time of creation in units of the system's."""

    pid: int
    born: int


_me: list[Process] = []
_MYSELF = Handle(win32.CURRENT_PROCESS)


def this_process() -> Process:
    if not _me:
        _me.append(Process(win32.GetCurrentProcessId(), _born(win32.CURRENT_PROCESS)))
    return _me[0]


def _born(process: int) -> int:
    times = [ctypes.c_uint64() for _ in range(4)]
    if not win32.GetProcessTimes(process, *map(ctypes.byref, times)):
        raise last_error()
    return times[0].value


def opened(process: Process) -> Handle:
    """A handle to a process, good for duplicating handles.

    Raises OSError for a process that is gone, or not of this user.
    """
    if process == this_process():
        return _MYSELF
    rights = win32.PROCESS_DUP_HANDLE | win32.PROCESS_QUERY_LIMITED_INFORMATION
    found = Handle(win32.OpenProcess(rights, False, process.pid))
    if _born(found.value) != process.born:
        raise ctypes.WinError(win32.ERROR_FILE_NOT_FOUND)
    return found


def copy(handle: int, source: int, target: int, address: int | None = None) -> int:
    """Duplicate a handle of the process `source` into the process `target`.

    The system writes the new number to `address` itself, if there is one, so that a process
    killed here has either left a note of the new handle or not made it. Raises OSError.
    """
    number = ctypes.c_uint64()
    place = ctypes.addressof(number) if address is None else address
    same = win32.DUPLICATE_SAME_ACCESS
    if not win32.DuplicateHandle(source, handle, target, place, 0, False, same):
        raise last_error()
    return number.value if address is None else ctypes.c_uint64.from_address(address).value


def close_in(process: int, handle: int) -> None:
    """Close a handle in the table of any process. That it is gone already does not matter."""
    if process == win32.CURRENT_PROCESS:
        win32.CloseHandle(handle)
    else:
        flags = win32.DUPLICATE_CLOSE_SOURCE
        win32.DuplicateHandle(process, handle, None, None, 0, False, flags)


def recover(handles: Sequence[int], source: Process) -> list[int]:
    """Move handles from another process's table, or this one's, into this one's, all or none.

    Returns the new numbers; the old ones are closed. Raises OSError, and then nothing has
    changed, for a process that cannot be opened and a handle that is not there.
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
    """An event that stays set until it is reset. Raises OSError."""
    return Handle(win32.CreateEvent(None, True, is_set, None))
