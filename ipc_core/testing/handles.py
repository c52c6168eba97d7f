"""The handles that this process has open. For Windows only."""

from __future__ import annotations

import ctypes
from ctypes.wintypes import DWORD, HANDLE

_FREE_AT_THE_END = 256
"""So many unused numbers in a row are beyond the last handle: a freed one is used again first."""


def handles() -> int:
    """How many handles there are, by asking the system, or number by number: Wine 8 does not
    tell."""
    kernel32 = ctypes.WinDLL("kernel32")
    count = DWORD()
    if kernel32.GetProcessHandleCount(HANDLE(-1), ctypes.byref(count)) and count.value:
        return count.value
    found = last = number = 0
    while number - last < 4 * _FREE_AT_THE_END:
        number += 4
        if kernel32.GetHandleInformation(HANDLE(number), ctypes.byref(DWORD())):
            found += 1
            last = number
    return found
