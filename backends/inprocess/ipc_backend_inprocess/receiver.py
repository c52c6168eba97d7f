"""The receiving end."""

from __future__ import annotations

from collections.abc import Callable

from ipc_backend_inprocess.attachments import Lendable
from ipc_backend_inprocess.message_queue import MessageQueue
from ipc_backend_inprocess.waiting import forget, notify, notify_all, wait_for
from ipc_core.spi import ClosedError, Empty, IpcError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from ipc_backend_inprocess.message_queue import Message


class InprocessReceiver(Lendable):
    kind: ClassVar[Kind] = Kind.RECEIVER
    _queue: MessageQueue | None = None

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._receiving: list[None] = []

    def recv(self, timeout: float | None) -> Message:
        """See OsIpcReceiver.recv. Raises NotSupportedError instead of waiting for ever where
        there are no threads."""
        queue = self._queue
        if queue is None:
            raise _closed()
        try:
            return queue.messages.popleft()
        except IndexError:
            pass
        self._receiving.append(None)
        try:
            message = wait_for(queue.listeners, self._poll, timeout)
        finally:
            self._receiving.pop()
        if message is None:
            raise Empty("nothing has arrived")
        return message

    def _poll(self) -> Message | None:
        queue = self._queue
        if queue is None:
            raise _closed()
        return queue.take()

    def fileno(self) -> int | None:
        """See OsIpcReceiver.fileno. There are no descriptors here."""
        return None

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready."""
        queue = self._queue
        if queue is None:
            raise _closed()
        queue.listeners.append(callback)
        if (queue.messages or not queue.senders) and forget(queue.listeners, callback):
            callback()
        return lambda: self._take_back(queue, callback)

    @staticmethod
    def _take_back(queue: MessageQueue, callback: Callable[[], object]) -> None:
        if not forget(queue.listeners, callback):
            notify(queue.listeners)  # the call may have been meant for another thread

    def close(self) -> None:
        """See OsIpcReceiver.close."""
        queue = self.abandon()
        if queue is not None:
            queue.drop()

    def give_up(self) -> MessageQueue:
        """Return the queue, and close this handle without dropping it.

        Raises ClosedError, or IpcError while another thread receives.
        """
        self.check()
        queue = self.abandon()
        if queue is None:
            raise _closed()
        notify_all(queue.listeners)  # a recv that has just begun finds the handle closed
        return queue

    def take_back(self, queue: MessageQueue) -> None:
        """Undo `give_up`."""
        self._queue = queue

    def check(self) -> None:
        if self._queue is None:
            raise _closed()
        if self._receiving:
            raise IpcError("another thread is receiving on this receiver")

    def lend(self) -> InprocessReceiver:
        return InprocessReceiver(self.give_up())

    def reclaim(self, lent: InprocessReceiver) -> None:
        self.take_back(lent.give_up())

    def abandon(self) -> MessageQueue | None:
        queue: MessageQueue | None = self.__dict__.pop("_queue", None)  # only one caller gets it
        return queue

    def __del__(self) -> None:
        if self._queue is not None:
            self.close()


def _closed() -> ClosedError:
    return ClosedError("this receiver is closed")
