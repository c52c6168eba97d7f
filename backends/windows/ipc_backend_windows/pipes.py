"""Named pipes, by which the two ends of a channel learn of each other's news and end."""

from __future__ import annotations

import ctypes
import secrets

from ipc_backend_windows import win32
from ipc_backend_windows.errors import GONE, last_error
from ipc_backend_windows.kernel_handles import Handle
from ipc_backend_windows.security import same_user_only

_BUFFER = 4096
"""Bytes. A sender writes one only when the receiver waits for it, so there are never many."""


def new_identity() -> bytes:
    """Return 128 random bits, from which the names of a channel's kernel objects are made."""
    return secrets.token_bytes(16)


def serve(identity: bytes) -> Handle:
    """Make the receiving end of a new pipe, for one client of this user on this machine.

    Raises OSError, also when a pipe of this name exists already.
    """
    return Handle(
        win32.CreateNamedPipe(
            _name(identity),
            win32.PIPE_ACCESS_DUPLEX
            | win32.FILE_FLAG_OVERLAPPED
            | win32.FILE_FLAG_FIRST_PIPE_INSTANCE,
            win32.PIPE_REJECT_REMOTE_CLIENTS,
            1,
            _BUFFER,
            _BUFFER,
            0,
            ctypes.byref(same_user_only()),
        )
    )


def connect(identity: bytes) -> Handle:
    """Open the sending end of a pipe. Its server cannot act in this user's name.

    Raises OSError: ERROR_FILE_NOT_FOUND without a server, ERROR_PIPE_BUSY if it has its client.
    """
    return Handle(
        win32.CreateFile(
            _name(identity),
            win32.GENERIC_READ | win32.GENERIC_WRITE,
            0,
            None,
            win32.OPEN_EXISTING,
            win32.FILE_FLAG_OVERLAPPED | win32.SECURITY_SQOS_PRESENT,
            None,
        )
    )


def is_broken(pipe: Handle) -> bool:
    """Return whether the other end of a pipe is closed, even if there are bytes left to read.

    Raises OSError, also for a handle that is closed.
    """
    if win32.PeekNamedPipe(pipe.value, None, 0, None, None, None):
        return False
    if ctypes.get_last_error() in GONE:
        return True
    raise last_error()


def _name(identity: bytes) -> str:
    return rf"\\.\pipe\ipc-core-{identity.hex()}"
