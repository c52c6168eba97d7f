"""Many receivers, waited for together.

A member is in one place at a time: among the listeners of its queue while that is empty, else
in the line of those that are ready, else in the hands of the `select` that serves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ipc_backend_inprocess.message_queue import MessageQueue
from ipc_backend_inprocess.receiver import InprocessReceiver
from ipc_backend_inprocess.waiting import Listeners, forget, notify, notify_all, wait_for
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    Disconnected,
    ForeignHandleError,
    IpcIOError,
    OsIpcReceiver,
    SerDeError,
)

Result = tuple[int, Buffer | SerDeError | IpcIOError | None, Sequence[Attachment]]


class _Member:
    """One receiver of a set; as a listener of its queue it says that it is ready."""

    __slots__ = ("_ready", "_selecting", "gone", "id", "queue")

    def __init__(
        self, id: int, queue: MessageQueue, ready: deque[_Member], selecting: Listeners
    ) -> None:
        self.id = id
        self.queue = queue
        self.gone = False
        self._ready = ready
        self._selecting = selecting

    def __call__(self) -> None:
        if self.gone:
            notify(self.queue.listeners)  # meant for the queue's present owner
            return
        self._ready.append(self)
        notify(self._selecting)

    def listen(self) -> None:
        queue = self.queue
        queue.listeners.append(self)
        if self.gone:
            forget(queue.listeners, self)
        elif queue.messages or not queue.senders:
            notify(queue.listeners)

    def leave(self) -> MessageQueue:
        self.gone = True
        forget(self.queue.listeners, self)
        return self.queue


class InprocessReceiverSet:
    def __init__(self) -> None:
        self._open = True
        self._members: dict[int, _Member] = {}
        self._ready: deque[_Member] = deque()
        self._selecting: Listeners = deque()
        self._woken: deque[None] = deque(maxlen=1)

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add. The receiver's handle is closed; `remove` makes a new one.

        Raises ClosedError, also for a receiver that is in a set, IpcError while another thread
        receives on it, ForeignHandleError, ValueError for an id that is taken.
        """
        self._check()
        if not isinstance(receiver, InprocessReceiver):
            raise ForeignHandleError(f"an inprocess set cannot hold a {type(receiver).__name__}")
        queue = receiver.give_up()
        member = _Member(id, queue, self._ready, self._selecting)
        if self._members.setdefault(id, member) is not member:
            receiver.take_back(queue)
            raise ValueError(f"the set has a receiver {id} already")
        if not self._open and self._members.pop(id, None) is member:
            receiver.take_back(queue)
            self._check()
        member.listen()

    def remove(self, id: int) -> InprocessReceiver:
        """See OsIpcReceiverSet.remove. A `select` that runs meanwhile may still return one
        message that it was about to take."""
        self._check()
        return InprocessReceiver(self._members.pop(id).leave())

    def select(self, timeout: float | None, limit: int = 64) -> list[Result]:
        """See OsIpcReceiverSet.select. Raises NotSupportedError instead of waiting for ever where
        there are no threads."""
        return wait_for(self._selecting, lambda: self._collect(limit), timeout) or []

    def _collect(self, limit: int) -> list[Result] | None:
        self._check()
        woken = False
        if self._woken:
            try:
                self._woken.pop()
                woken = True
            except IndexError:
                pass  # another thread took it
        ready = self._ready
        results: list[Result] = []
        while ready and len(results) < limit:
            try:
                member = ready.popleft()
            except IndexError:
                break  # another thread took the last one
            if not member.gone:
                self._serve(member, results)
        if ready:
            notify(self._selecting)  # another thread may take the rest
        return results if results or woken else None

    def _serve(self, member: _Member, results: list[Result]) -> None:
        try:
            message = member.queue.take()
        except Disconnected:
            if self._members.pop(member.id, None) is member:
                member.leave().drop()
                results.append((member.id, None, ()))
            return
        if message is not None:
            results.append((member.id, *message))
        if member.queue.messages:
            self._ready.append(member)
        else:
            member.listen()

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
        self._woken.append(None)
        notify(self._selecting)

    def fileno(self) -> int | None:
        """See OsIpcReceiverSet.fileno. There are no descriptors here."""
        return None

    def close(self) -> None:
        """See OsIpcReceiverSet.close."""
        self._open = False
        while self._members:
            try:
                _, member = self._members.popitem()
            except KeyError:
                break
            member.leave().drop()
        self._ready.clear()
        notify_all(self._selecting)

    def _check(self) -> None:
        if not self._open:
            raise ClosedError("this receiver set is closed")

    def __del__(self) -> None:
        if self._open:
            self.close()
