"""Closing an object that another thread may be using."""

from __future__ import annotations

import threading

from ipc_core.spi import BriefLock, mend_after_fork, unheld


class Closing:
    """An object that one thread at a time uses, holding `_lock`, perhaps for a long wait.

    Descriptors are closed only by a thread that holds the lock. So none is closed while its number
    is in use, and no number is used after it was closed. A thread that closes does not wait for
    the lock: if another thread has it, that thread closes the descriptors when it gives it back.
    The lock is reentrant: a signal handler may close the object whose use it interrupted.
    """

    def __init__(self, *, mend_last: bool = False) -> None:
        self._lock = threading.RLock()
        self._closed = False
        self._abandoned = False
        """Whether the thread that has the lock is to release everything as it leaves."""
        mend_after_fork(self, last=mend_last)

    def _end_wait(self) -> None:
        """Make the thread that holds the lock stop its wait."""
        raise NotImplementedError

    def _release_all(self) -> None:
        """Close the descriptors. May be called again."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it now, or when the thread that uses it leaves. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True  # from here on every new use raises
        if self._reap():
            return
        # Another thread uses it. End its wait, then leave the release to it: in the other order
        # the descriptors could be closed before `_end_wait` uses them.
        with _ending:
            if not self._abandoned:
                self._end_wait()
                self._abandoned = True
        # That thread may have left in between, without seeing that it was to release.
        self._reap()

    def after_fork(self) -> None:
        """In a forked child, free the lock: the threads that used the object are the parent's."""
        self._lock = unheld(self._lock)
        self._abandoned = False
        if self._closed:
            self._release_all()

    def _leave(self) -> None:
        """Give the lock back, and release everything if the object was closed meanwhile."""
        self._lock.release()
        if self._abandoned:
            self._reap()

    def _reap(self) -> bool:
        """Release everything if the lock is free; return whether it was."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._release_all()
        finally:
            self._lock.release()
        return True

    def __del__(self) -> None:
        if hasattr(self, "_abandoned"):  # not half made
            self.close()


_ending = BriefLock()
