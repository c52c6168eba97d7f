"""Closing what another thread may be waiting on."""

from __future__ import annotations

import sys
import threading

from ipc_core.spi import BriefLock


class Closing:
    """Something that one thread at a time uses, between `_enter` and `_leave`.

    Closing it while it is in use, by another thread or by what has interrupted this one, ends the
    wait, and the user releases the resources on the way out.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._users = 0
        self._closed = False
        self._released = False

    def _end_wait(self) -> None:
        """Make the thread that uses this come back."""
        raise NotImplementedError

    def _release_all(self) -> None:
        """Close the resources."""
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
        self._users -= 1
        self._lock.release()
        if self._closed:
            self._reap()

    def close(self) -> None:
        """Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            if not self._reap():
                with _ending:
                    if not self._released:
                        self._end_wait()
                self._reap()

    def _reap(self) -> bool:
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
