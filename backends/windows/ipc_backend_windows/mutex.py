"""A lock between processes, which the system frees when its owner dies."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

from ipc_backend_windows import win32
from ipc_backend_windows.errors import last_error
from ipc_backend_windows.kernel_handles import Handle
from ipc_backend_windows.security import same_user_only
from ipc_core.spi import IpcIOError

PATIENCE = 10.0
"""Seconds after which a lock counts as stuck, in a process that is stopped or debugged. It is
held for some copying at most."""


class Mutex:
    """Held for a few steps only, never during a wait for a peer.

    A destructor or signal handler may interrupt the thread that holds it; what that may not do in
    the middle goes to `afterwards`.
    """

    def __init__(self, name: str) -> None:
        """Raises OSError. Whoever opens a name first makes it."""
        self._handle = Handle(win32.CreateMutex(same_user_only(), False, name))
        self._owner = 0
        self._afterwards: list[Callable[[], object]] = []

    def is_mine(self) -> bool:
        """Whether this thread holds the lock, so that this call has interrupted something."""
        return self._owner == threading.get_ident()

    def acquire(self) -> bool:
        """Return whether the last owner died with the lock held.

        Raises IpcIOError(ETIMEDOUT) for a lock that stays taken.
        """
        found = win32.WaitForSingleObject(self._handle.value, int(PATIENCE * 1000))
        if found not in (win32.WAIT_OBJECT_0, win32.WAIT_ABANDONED):
            if found == win32.WAIT_TIMEOUT:
                raise IpcIOError(errno.ETIMEDOUT, "a process that uses this channel is stuck")
            raise last_error()
        self._owner = threading.get_ident()
        return bool(found == win32.WAIT_ABANDONED)

    def afterwards(self, step: Callable[[], object]) -> None:
        """Do this before the lock is released that this thread holds. It must not raise."""
        self._afterwards.append(step)

    def release(self) -> None:
        while self._afterwards:
            self._afterwards.pop(0)()
        self._owner = 0
        win32.ReleaseMutex(self._handle.value)
