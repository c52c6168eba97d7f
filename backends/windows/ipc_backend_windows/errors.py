"""Errors of the system, and their translation into those of the SPI."""

from __future__ import annotations

import ctypes
import errno

from ipc_backend_windows import win32
from ipc_core.spi import BrokenChannelError, IpcIOError

GONE = (win32.ERROR_BROKEN_PIPE, win32.ERROR_NO_DATA, win32.ERROR_PIPE_NOT_CONNECTED)
"""Errors of a call on a pipe whose other end is closed."""

_MEMORY = (
    win32.ERROR_NOT_ENOUGH_MEMORY,
    win32.ERROR_NO_SYSTEM_RESOURCES,
    win32.ERROR_COMMITMENT_LIMIT,
)


def last_error() -> OSError:
    """Return the error of the call that just failed in this thread, its number in `winerror`."""
    return ctypes.WinError(ctypes.get_last_error())


def translated(error: OSError) -> IpcIOError:
    """Return the error of the SPI for an error of the system."""
    code = getattr(error, "winerror", None)
    if code in GONE:
        return broken()
    if code in _MEMORY:
        return IpcIOError(errno.ENOMEM, f"the system has no memory for it: {error.strerror}")
    return IpcIOError(error.errno or 0, f"{error.strerror} (error {code})")


def broken() -> BrokenChannelError:
    """Return the error of a send to a channel without a receiver."""
    return BrokenChannelError(errno.EPIPE, "no receiver is left")
