"""A lock between processes, which the system releases when its owner dies."""

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
"""Seconds after which `acquire` gives up, because the owner is suspended or debugged: nobody else
holds the lock for longer than some copying takes."""


class Mutex:
    """A lock that is held for a few steps only, never during a wait for a peer.

    The kernel lets its owner acquire it again. A destructor or signal handler may interrupt the
    thread that holds it, find by `is_mine` that the protected memory is in the middle of a change,
    and leave its own change to `afterwards`.
    """

    def __init__(self, name: str) -> None:
        """Open the lock of this name, or make it if it is not there. Raises OSError."""
        self._handle = Handle(win32.CreateMutex(same_user_only(), False, name))
        self._owner = 0
        self._afterwards: list[Callable[[], object]] = []

    def is_mine(self) -> bool:
        """Return whether this thread holds the lock, so that this call interrupts a change."""
        return self._owner == threading.get_ident()

    def acquire(self) -> bool:
        """Take the lock; return whether its last owner died while holding it.

        Raises IpcIOError(ETIMEDOUT) if the lock is not free within PATIENCE seconds.
        """
        found = win32.WaitForSingleObject(self._handle.value, int(PATIENCE * 1000))
        if found not in (win32.WAIT_OBJECT_0, win32.WAIT_ABANDONED):
            if found == win32.WAIT_TIMEOUT:
                raise IpcIOError(errno.ETIMEDOUT, "a process that uses this channel is stuck")
            raise last_error()
        self._owner = threading.get_ident()
        return bool(found == win32.WAIT_ABANDONED)

    def afterwards(self, step: Callable[[], object]) -> None:
        """Have `step` called before this thread releases the lock, which it holds.

        `step` must not raise.
        """
        self._afterwards.append(step)

    def release(self) -> None:
        """Do the steps that were left to `afterwards`, and give the lock back."""
        while self._afterwards:
            self._afterwards.pop(0)()
        self._owner = 0
        win32.ReleaseMutex(self._handle.value)
