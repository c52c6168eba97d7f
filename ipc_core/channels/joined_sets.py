"""Receiver sets of several backends, waited for as one.

A wait on several backends asks all of them at once, in threads, and the first that has a result
wakes the others. So there may be more results than the caller's limit, and an exception,
such as KeyboardInterrupt, may end the wait after some backends have handed out results. These are
owed: they stay here, and the next select returns them before it waits.
"""

from __future__ import annotations

import itertools
import threading
import time

import ipc_core._typing as t
from ipc_core.spi import Backend, NotSupportedError, OsIpcReceiver, OsIpcReceiverSet
from ipc_core.spi.concurrency import THREADS, mend_after_fork


class JoinedSets:
    """A receiver set for each backend that the receivers come from.

    With one backend, as in nearly every program, calls are only passed on. With several, a wait
    takes a thread for each but one.
    """

    def __init__(self) -> None:
        self._parts: dict[str, OsIpcReceiverSet] = {}
        self._owed: list[t.Any] = []
        self._first = itertools.count()
        self._turn = threading.RLock()  # a signal handler may select in the middle of a select
        mend_after_fork(self)

    def add(self, backend: Backend, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add."""
        part = self._parts.get(backend.name)
        if part is None:
            part = backend.receiver_set()
        part.add(receiver, id)
        if backend.name not in self._parts:
            self._parts = {**self._parts, backend.name: part}  # new: others iterate over it
            self.wake()  # so that a running wait begins anew, with this backend

    def remove(self, backend: Backend, id: int) -> OsIpcReceiver:
        """See OsIpcReceiverSet.remove."""
        return self._parts[backend.name].remove(id)

    @property
    def begun(self) -> bool:
        """Whether a receiver was ever added."""
        return bool(self._parts)

    @property
    def owes_results(self) -> bool:
        """Whether results that an earlier select took wait for the next one."""
        return bool(self._owed)

    def select(self, timeout: float | None, limit: int = 64) -> list[t.Any]:
        """See OsIpcReceiverSet.select. Results above `limit` are owed to the next call."""
        parts = list(self._parts.values())
        if len(parts) == 1 and not self._owed:
            return list(parts[0].select(timeout, limit))
        deadline = None if timeout is None else time.monotonic() + timeout
        longest = -1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        if not self._turn.acquire(timeout=longest):
            return []
        try:
            first = next(self._first) % len(parts)  # so that a busy part starves no other
            for part in parts[first:] + parts[:first]:
                if len(self._owed) < limit:
                    found = part.select(0, limit - len(self._owed))
                    self._owed.extend(found)  # read now: a signal handler may have selected too
            left = None if deadline is None else deadline - time.monotonic()
            if not self._owed and (left is None or left > 0):
                self._wait(parts, left, limit)
            ready, self._owed = self._owed[:limit], self._owed[limit:]
            return ready
        finally:
            self._turn.release()

    def _wait(self, parts: list[OsIpcReceiverSet], timeout: float | None, limit: int) -> None:
        """Wait for all parts at once: for the first in this thread, for each other in a new one.
        Their results are owed."""
        if not THREADS:
            raise NotSupportedError(
                "this platform has no threads, which waiting for several backends takes;"
                " use try_select()"
            )
        errors: list[BaseException] = []

        def wait(part: OsIpcReceiverSet) -> None:
            try:
                found = part.select(timeout, limit)
                self._owed.extend(found)  # until the end, where an exception leaves them
            except BaseException as error:
                errors.append(error)
            finally:
                for other in parts:  # also after an error: no thread is left waiting
                    if other is not part:
                        other.wake()

        helpers = [threading.Thread(target=wait, args=(part,), daemon=True) for part in parts[1:]]
        for helper in helpers:
            helper.start()
        try:
            wait(parts[0])
        finally:
            for helper in helpers:
                helper.join()
        if errors:
            raise errors[0]

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
        for part in self._parts.values():
            part.wake()

    def close(self) -> None:
        """See OsIpcReceiverSet.close."""
        for part in self._parts.values():
            part.close()
        for _, _, attachments in self._owed:
            for attachment in attachments:
                attachment.close()

    def after_fork(self) -> None:
        self._turn = threading.RLock()
