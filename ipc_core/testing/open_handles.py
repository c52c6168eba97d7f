"""The handles that this process has open. For Windows only."""

from __future__ import annotations

import ctypes
import sys
from ctypes.wintypes import DWORD, HANDLE

assert sys.platform == "win32"

_FREE_AT_THE_END = 256
"""A run of this many unused numbers is the end of the handles: freed ones are reused first."""

_TYPE_INFORMATION = 2


def handles() -> int:
    """Return the number of handles except semaphores: each lock of Python has some, and a
    fixture may outlive its test. Found number by number, as Wine 8 does not list them."""
    kernel32 = ctypes.WinDLL("kernel32")
    found = last = number = 0
    while number - last < 4 * _FREE_AT_THE_END:
        number += 4
        if kernel32.GetHandleInformation(HANDLE(number), ctypes.byref(DWORD())):
            found += _type(number) != "Semaphore"
            last = number
    return found


def _type(handle: int) -> str:
    information = ctypes.create_string_buffer(1024)
    status = ctypes.WinDLL("ntdll").NtQueryObject(
        HANDLE(handle), _TYPE_INFORMATION, information, len(information), None
    )
    # The information begins with a UNICODE_STRING: two lengths, and a pointer to the type's name.
    text = ctypes.c_void_p.from_buffer(information, ctypes.sizeof(ctypes.c_void_p)).value
    return ctypes.wstring_at(text) if status == 0 and text else ""
