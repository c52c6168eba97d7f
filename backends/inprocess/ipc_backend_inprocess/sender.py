"""The sending end."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ipc_backend_inprocess.attachments import Lendable, Loan
from ipc_backend_inprocess.message_queue import MessageQueue
from ipc_backend_inprocess.waiting import notify, notify_all, wait_for
from ipc_core.spi import Attachment, BrokenChannelError, Buffer, ClosedError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from ipc_backend_inprocess.message_queue import Message


class InprocessSender(Lendable):
    __slots__ = ("_open", "_queue", "_sending")
    kind: ClassVar[Kind] = Kind.SENDER

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._open = True
        self._sending: list[None] = []
        queue.senders.add(id(self))

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send. Bytes travel by reference, another buffer is copied into bytes and
        several into one bytearray, so that the receiver can use them where they are."""
        if type(data) is not bytes:
            data = _copied(data)
        if not attachments:
            self._put((data, ()))
            return
        self.check()
        if self._queue.broken:
            raise _broken()
        loan = Loan(attachments)
        message = data, loan.lent
        try:
            self._put(message)
        except BaseException:
            if not any(queued is message for queued in self._queue.messages):
                loan.reclaim()
            raise

    def _put(self, message: Message) -> None:
        queue = self._queue
        sending = self._sending
        sending.append(None)  # `close` in another thread leaves the channel after this message
        try:
            if not self._open:
                self.check()
            if queue.broken:
                raise _broken()
            queue.messages.append(message)
        finally:
            sending.pop()
            if queue.listeners:
                notify(queue.listeners)
            if queue.broken:
                queue.drop()  # the receiver may have gone before it could see the message
            if not self._open and not sending:
                self._leave()

    def clone(self) -> InprocessSender:
        """See OsIpcSender.clone."""
        self.check()
        copy = InprocessSender(self._queue)
        if not self._open:
            copy.close()
            self.check()
        return copy

    def wait_closed(self, timeout: float | None) -> bool:
        """See OsIpcSender.wait_closed. Raises ClosedError when this handle is closed meanwhile."""
        return wait_for(self._queue.watchers, self._is_broken, timeout) or False

    def _is_broken(self) -> bool | None:
        self.check()
        return self._queue.broken or None

    def close(self) -> None:
        """See OsIpcSender.close."""
        if self._open:
            self._open = False
            if not self._sending:
                self._leave()
            notify_all(self._queue.watchers)

    def _leave(self) -> None:
        senders = self._queue.senders
        senders.discard(id(self))
        if not senders:
            notify_all(self._queue.listeners)

    def check(self) -> None:
        if not self._open:
            raise ClosedError("this sender is closed")

    def lend(self) -> InprocessSender:
        return self.clone()

    def reclaim(self, lent: InprocessSender) -> None:
        lent.close()

    def abandon(self) -> None:
        self.close()

    def __del__(self) -> None:
        if self._open:
            self.close()


def _copied(data: Buffer | Sequence[Buffer]) -> bytes | bytearray:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    return bytearray().join(data)


def _broken() -> BrokenChannelError:
    return BrokenChannelError(errno.EPIPE, "no receiver is left")
