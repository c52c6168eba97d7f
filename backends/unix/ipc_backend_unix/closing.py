"""Closing what another thread may be waiting on."""

from __future__ import annotations

import threading

from ipc_core.spi import BriefLock, mend_after_fork, unheld


class Exclusive:
    """Something that one thread at a time uses, holding `_lock`, perhaps for a long wait.

    Whoever finds the lock taken when closing ends the wait, and the user releases the resources on
    the way out. So no descriptor is closed while its number is in use, and no number is used after
    it was closed. The lock is reentrant: a signal handler may close what it interrupted.
    """

    def __init__(self, *, mend_last: bool = False) -> None:
        self._lock = threading.RLock()
        self._closed = False
        self._abandoned = False
        mend_after_fork(self, last=mend_last)

    def _end_wait(self) -> None:
        """Make the thread that holds the lock come back."""
        raise NotImplementedError

    def _release_all(self) -> None:
        """Close the resources; may be called again."""
        raise NotImplementedError

    def close(self) -> None:
        """Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._reap():
            return
        with _ending:
            if not self._abandoned:
                self._end_wait()
                self._abandoned = True
        self._reap()

    def after_fork(self) -> None:
        """In the child nobody waits: the threads that did are the parent's."""
        self._lock = unheld(self._lock)
        self._abandoned = False
        if self._closed:
            self._release_all()

    def _leave(self) -> None:
        """Give the lock back."""
        self._lock.release()
        if self._abandoned:
            self._reap()

    def _reap(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._release_all()
        finally:
            self._lock.release()
        return True

    def __del__(self) -> None:
        if hasattr(self, "_abandoned"):
            self.close()


_ending = BriefLock()
