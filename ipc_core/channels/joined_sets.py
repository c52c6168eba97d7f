"""Receiver sets of several backends, waited for as one."""

from __future__ import annotations

import threading
import time

import ipc_core._typing as t
from ipc_core.spi import Backend, NotSupportedError, OsIpcReceiver, OsIpcReceiverSet
from ipc_core.spi.concurrency import THREADS, mend_after_fork


class JoinedSets:
    """One set for each backend that its receivers come from.

    With one backend, which is what nearly every program has, it only passes calls on. With
    several, a wait takes a thread for each but one; whoever has a result wakes the others.
    """

    def __init__(self) -> None:
        self._parts: dict[str, OsIpcReceiverSet] = {}
        self._left_over: list[t.Any] = []
        self._turn = threading.RLock()  # a signal handler may select in the middle of a select
        mend_after_fork(self)

    def add(self, backend: Backend, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add."""
        part = self._parts.get(backend.name)
        if part is None:
            part = backend.receiver_set()
        part.add(receiver, id)
        if backend.name not in self._parts:
            self._parts = {**self._parts, backend.name: part}  # a running select keeps its own
            self.wake()

    def remove(self, backend: Backend, id: int) -> OsIpcReceiver:
        """See OsIpcReceiverSet.remove."""
        return self._parts[backend.name].remove(id)

    @property
    def begun(self) -> bool:
        """Whether a receiver was ever added."""
        return bool(self._parts)

    @property
    def left_over(self) -> bool:
        """Whether an interrupted select has left results for the next one."""
        return bool(self._left_over)

    def select(self, timeout: float | None, limit: int = 64) -> list[t.Any]:
        """See OsIpcReceiverSet.select; each backend may return up to `limit` results."""
        parts = list(self._parts.values())
        if len(parts) == 1 and not self._left_over:
            return list(parts[0].select(timeout, limit))
        deadline = None if timeout is None else time.monotonic() + timeout
        longest = -1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        if not self._turn.acquire(timeout=longest):
            return []
        try:
            ready, self._left_over = self._left_over, []
            for part in parts:
                ready += part.select(0, limit)
            left = None if deadline is None else deadline - time.monotonic()
            if ready or (left is not None and left <= 0):
                return ready
            return self._wait(parts, left, limit)
        finally:
            self._turn.release()

    def _wait(
        self, parts: list[OsIpcReceiverSet], timeout: float | None, limit: int
    ) -> list[t.Any]:
        if not THREADS:
            raise NotSupportedError(
                "this platform has no threads, which waiting for several backends takes;"
                " use try_select()"
            )
        errors: list[BaseException] = []

        def wait(part: OsIpcReceiverSet) -> None:
            try:
                found = part.select(timeout, limit)
                self._left_over.extend(found)
            except BaseException as error:
                errors.append(error)
            finally:
                for other in parts:
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
        ready, self._left_over = self._left_over, []
        return ready

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
        for part in self._parts.values():
            part.wake()

    def close(self) -> None:
        """See OsIpcReceiverSet.close."""
        for part in self._parts.values():
            part.close()
        for _, _, attachments in self._left_over:
            for attachment in attachments:
                attachment.close()

    def after_fork(self) -> None:
        self._turn = threading.RLock()
