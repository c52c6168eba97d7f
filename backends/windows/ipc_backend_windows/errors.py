"""The system's errors, translated at the edge."""

from __future__ import annotations

import ctypes
import errno

from ipc_backend_windows import win32
from ipc_core.spi import BrokenChannelError, IpcIOError

GONE = (
    win32.ERROR_BROKEN_PIPE,
    win32.ERROR_NO_DATA,
    win32.ERROR_PIPE_NOT_CONNECTED,
)
"""What calls on a pipe say when its other end is closed."""

_MEMORY = (
    win32.ERROR_NOT_ENOUGH_MEMORY,
    win32.ERROR_NO_SYSTEM_RESOURCES,
    win32.ERROR_COMMITMENT_LIMIT,
)


def last_error() -> OSError:
    """The error of the call that has just failed in this thread; `winerror` has its number."""
    return ctypes.WinError(ctypes.get_last_error())


def translated(error: OSError) -> IpcIOError:
    """What to raise instead of an error of the system."""
    code = getattr(error, "winerror", None)
    if code in GONE:
        return broken()
    if code in _MEMORY:
        return IpcIOError(errno.ENOMEM, f"the system has no memory for it: {error.strerror}")
    return IpcIOError(error.errno or 0, f"{error.strerror} (error {code})")


def broken() -> BrokenChannelError:
    return BrokenChannelError(errno.EPIPE, "no receiver is left")
