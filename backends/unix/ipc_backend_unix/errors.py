"""The system's errors, translated at the edge."""

from __future__ import annotations

import errno
import os

from ipc_core.spi import BrokenChannelError, ClosedError, IpcError, IpcIOError

_HINTS = {
    errno.ETOOMANYREFS: "too many descriptors of this user are in flight (see RLIMIT_NOFILE)",
    errno.EFBIG: "a message or region is larger than this process may write (see RLIMIT_FSIZE)",
    errno.EMFILE: "this process has too many open files (see RLIMIT_NOFILE)",
}


def translated(error: OSError) -> IpcError:
    """Return the error to raise instead of that of a socket or memfd call."""
    code = error.errno or 0
    if code in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
        return broken(code)
    if code == errno.EBADF:
        return ClosedError("closed by another thread")
    return io_error(code)


def broken(code: int = errno.EPIPE) -> BrokenChannelError:
    """Return the error of a send that finds no receiver."""
    return BrokenChannelError(code, "no receiver is left")


def io_error(code: int, text: str | None = None) -> IpcIOError:
    """Return the error for an errno, with a hint or the system's text if there is no `text`."""
    return IpcIOError(code, text or _HINTS.get(code) or os.strerror(code))
