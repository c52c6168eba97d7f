"""A set of receivers that are waited for together.

The hard part is a removal while another thread waits. The backends' sets are asked without a lock,
so a result may name a receiver that has left since, by `remove`, by `close`, or because its channel
closed. Its format is still needed to decode the message, so it is kept for a while:

- Ids count up from 0 and are never given twice: a late result cannot be taken for a newer one's.
- A receiver that leaves becomes a former member, numbered by the removals before its own.
- Each wait notes the number of removals at its start. A former member is dropped once every running
  wait began after its removal. None is dropped while results are owed: those that an interrupted
  wait took from a backend and left for the next wait (see JoinedSets).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import ipc_core._typing as t
from ipc_core.channels.joined_sets import JoinedSets
from ipc_core.channels.receiver import IpcBytesReceiver, IpcReceiver, OpaqueIpcReceiver
from ipc_core.channels.selection import (
    ChannelClosed,
    IpcMessage,
    IpcSelectionResult,
    MessageReceived,
)
from ipc_core.messages.attachable import Gone
from ipc_core.spi import Attachment
from ipc_core.spi.concurrency import THREADS, BriefLock, mend_after_fork
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import ClosedError, Empty, MovedError, NotSupportedError

AnyReceiver = IpcReceiver[object] | IpcBytesReceiver | OpaqueIpcReceiver


class IpcReceiverSet:
    """A set that owns receivers and waits for all of them. Safe to use from several threads.

    Ids count up from 0 and are never used again. The receivers may be of several backends, but
    then each wait costs a thread for each backend but one.
    """

    def __init__(self) -> None:
        self._sets: t.Any = JoinedSets()
        self._woken = threading.Event()  # ends a wait before there is a backend to wait on
        self._lock = BriefLock()
        self._next_id = 0
        # A receiver whose handle moved here still unpacks messages, and makes another like it.
        self._members: dict[int, AnyReceiver] = {}
        # By id: the receiver, and the number of removals before its own. Ordered by that number.
        self._former_members: dict[int, tuple[AnyReceiver, int]] = {}
        self._removals = 0
        # For each running wait, the number of removals when it began.
        self._waits: dict[object, int] = {}
        mend_after_fork(self)

    @classmethod
    def new(cls) -> IpcReceiverSet:
        """Make an empty set."""
        return cls()

    def add(self, receiver: AnyReceiver) -> int:
        """Move a receiver into the set, with the messages already in its queue; return its id.

        Raises MovedError or ClosedError for a receiver that was moved or closed, and ClosedError
        for a closed set.
        """
        with self._lock:
            id = self._next_id
            # Before the backend has it: a wait in another thread may return it at once.
            self._members[id] = receiver
            try:
                self._sets.add(receiver._backend, receiver._owned(), id)
            except BaseException:
                del self._members[id]  # its id was never in use, so the next receiver gets it
                raise
            self._next_id += 1
            self._woken.set()
            receiver._retire(MovedError, f"was added to a receiver set, as {id}")
            return id

    def remove(self, id: int) -> AnyReceiver:
        """Give a receiver back, with the messages in its queue.

        Raises KeyError for an id not in the set.
        """
        with self._lock:
            member = self._members[id]
            handle = self._sets.remove(member._backend, id)
            self._retire_member(id)
            self._sets.wake()  # so that a select on a set that is now empty raises
            return member._like(handle)

    def select(self) -> list[IpcSelectionResult]:
        """Wait for messages and closed channels; never return an empty list.

        Raises ValueError for an empty set, which would wait for ever, and ClosedError when
        another thread closes the set.
        """
        while True:
            if not self._members and type(self._sets) is not Gone:
                self.wake()  # passed on: a select in another thread raises too
                raise ValueError("select() on an empty set would wait for ever")
            results = self.wait()
            if results:
                return results

    def try_select(self) -> list[IpcSelectionResult]:
        """Return the results that are there already. Raises Empty if there are none."""
        return self.try_select_timeout(0)

    def try_select_timeout(self, seconds: float) -> list[IpcSelectionResult]:
        """Wait at most `seconds` for results. Raises Empty if there are none by then."""
        left = check_timeout(seconds)
        deadline = None if left is None else time.monotonic() + left
        while True:
            results = self.wait(left)
            if results:
                return results
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Empty("nothing happened in the set")

    def wait(self, timeout: float | None = None, limit: int = 64) -> list[IpcSelectionResult]:
        """Wait like `select`, on an empty set too, to which another thread may add a receiver.

        Returns up to `limit` results; the list is empty when `timeout` seconds
        pass, and sometimes earlier. Where the platform has no threads, raises NotSupportedError
        instead of waiting for ever.
        """
        timeout = check_timeout(timeout)
        if not self._sets.begun:
            self._wait_for_first_receiver(timeout)
            return []
        this = object()
        try:
            self._waits[this] = self._removals  # from here on, removed members are kept
            return [self._result(*item) for item in self._sets.select(timeout, limit)]
        finally:
            self._waits.pop(this, None)
            if self._former_members:
                self._drop_former_members()

    def _wait_for_first_receiver(self, timeout: float | None) -> None:
        if THREADS:
            if self._woken.wait(timeout):
                self._woken.clear()
        elif timeout is None:
            raise NotSupportedError(
                "this platform has no threads: nobody could add a receiver during the wait"
            )
        else:
            time.sleep(timeout)

    def wake(self) -> None:
        """Make a running `wait` in another thread, or else the next one, return early."""
        self._woken.set()
        sets = self._sets
        if type(sets) is not Gone:
            sets.wake()

    def close(self) -> None:
        """Close the set and its receivers; a `select` in another thread raises ClosedError."""
        with self._lock:
            sets, self._sets = self._sets, Gone(ClosedError, "this receiver set is closed")
            for id in tuple(self._members):
                self._retire_member(id)
            self._woken.set()
        sets.close()

    def after_fork(self) -> None:
        self._woken = threading.Event()
        self._waits.clear()

    def _result(
        self, id: int, data: t.Any, attachments: Sequence[Attachment]
    ) -> IpcSelectionResult:
        if data is None:
            with self._lock:
                self._retire_member(id)
                if not self._members:
                    self.wake()  # so that a select in another thread raises
            return ChannelClosed(id)
        # In this order: a member that leaves between the two lookups is found by the second.
        member = self._members.get(id) or self._former_members[id][0]
        return MessageReceived(id, IpcMessage(data, attachments, member._unpack))

    def _retire_member(self, id: int) -> None:
        """Make a member a former one; the caller holds the lock."""
        if id in self._members:  # else another thread has just closed the set
            # Record before deleting: `_result` looks in `_members` first.
            self._former_members[id] = self._members[id], self._removals
            self._removals += 1
            del self._members[id]

    @property
    def _owes_results(self) -> bool:
        """Whether results of a wait over several backends wait for the next one."""
        return type(self._sets) is not Gone and bool(self._sets.owes_results)

    def _drop_former_members(self) -> None:
        """Drop the former members that no result can name any more."""
        with self._lock:
            if self._owes_results:
                return  # the results owed may name any of them
            # Without a wait the oldest begins now, after every removal.
            oldest = min([*self._waits.values()], default=self._removals)
            for id, (_, number) in [*self._former_members.items()]:
                if number >= oldest:
                    break  # this one and all that follow left during the oldest wait
                del self._former_members[id]

    def __len__(self) -> int:
        return len(self._members)

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f" ({self._sets})" if type(self._sets) is Gone else ""
        return f"<IpcReceiverSet of {len(self)}{state}>"
