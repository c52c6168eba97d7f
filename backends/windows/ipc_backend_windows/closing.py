"""Closing an object while another thread waits on it.

A kernel handle must not be closed while a call uses it: the system may give its number to another
object at once. So `close` never closes resources under a user. It marks the object closed, makes
the user's wait end, and leaves the closing to the user:

- Only the holder of `_lock` uses the resources, and only with the lock can they be released.
- `_closed` is set before `close` first tries the lock, and a user looks at it after giving the lock
  up. So whichever of the two is last finds the lock free and the mark set, and releases.
- The lock is reentrant. A signal handler or destructor that closes the object it has interrupted
  does get the lock; `_users` tells it that the resources are in use below it.
"""

from __future__ import annotations

import sys
import threading

from ipc_core.spi import BriefLock


class Closing:
    """An object that one thread at a time uses, between `_enter` and `_leave`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._users = 0
        self._closed = False
        self._released = False

    def _end_wait(self) -> None:
        """End the wait of the thread that uses this."""
        raise NotImplementedError

    def _release_all(self) -> None:
        """Close the resources. Called once, by a thread that is alone with this object."""
        raise NotImplementedError

    def _enter(self, timeout: float | None) -> bool:
        """Wait for the turn of this thread; return False when `timeout` seconds have passed."""
        if timeout is None:
            taken = self._lock.acquire()
        else:
            taken = self._lock.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        self._users += taken
        return taken

    def _leave(self) -> None:
        """End the turn of this thread, and release the resources if this was closed during it."""
        self._users -= 1
        self._lock.release()
        if self._closed:
            self._reap()

    def close(self) -> None:
        """Close this, now or when its user leaves. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._reap():
            return
        with _ending:  # the user cannot release the resources that `_end_wait` needs
            if not self._released:
                self._end_wait()
        self._reap()  # the user may have left before it could see `_closed`

    def _reap(self) -> bool:
        """Release the resources, once, unless they are in use; return whether they are released."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._users:
                return False
            with _ending:
                released, self._released = self._released, True
            if not released:
                self._release_all()
            return True
        finally:
            self._lock.release()

    def __del__(self) -> None:
        # At exit the system closes everything, and locks may belong to threads that are no more.
        if hasattr(self, "_released") and not sys.is_finalizing():
            self.close()


_ending = BriefLock()
