"""Named pipes: what tells the two ends of a channel of each other."""

from __future__ import annotations

import ctypes
import secrets

from ipc_backend_windows import win32
from ipc_backend_windows.kernel_handles import Handle
from ipc_backend_windows.queue_memory import pipe_name
from ipc_backend_windows.security import same_user_only

_BUFFER = 4096
"""Bytes. A byte is written where the receiver waits for one, so that there are never many."""


def new_identity() -> bytes:
    """128 random bits, from which the names of a channel's objects are made."""
    return secrets.token_bytes(16)


def serve(identity: bytes) -> Handle:
    """The receiving end of a new pipe, which one client of this user on this machine can open.

    Raises OSError, also when a pipe of this name exists already.
    """
    return Handle(
        win32.CreateNamedPipe(
            pipe_name(identity),
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
    """The sending end. The server may not act in this user's name.

    Raises OSError: not found when there is no server, busy when it has its client.
    """
    return Handle(
        win32.CreateFile(
            pipe_name(identity),
            win32.GENERIC_READ | win32.GENERIC_WRITE,
            0,
            None,
            win32.OPEN_EXISTING,
            win32.FILE_FLAG_OVERLAPPED | win32.SECURITY_SQOS_PRESENT,
            None,
        )
    )
