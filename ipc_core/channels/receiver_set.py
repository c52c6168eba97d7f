"""Many receivers, waited for together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipc_core._typing as t
from ipc_core.channels.joined_sets import JoinedSets
from ipc_core.channels.receiver import IpcBytesReceiver, IpcReceiver, OpaqueIpcReceiver
from ipc_core.messages.attachable import Gone
from ipc_core.messages.message import close_all
from ipc_core.spi import Attachment, Buffer, Payload
from ipc_core.spi.concurrency import THREADS, BriefLock, mend_after_fork
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import ClosedError, Empty, IpcError, MovedError, NotSupportedError
from ipc_core.spi.handles import Buffers

AnyReceiver = IpcReceiver[object] | IpcBytesReceiver | OpaqueIpcReceiver


class IpcMessage:
    """One message, not yet decoded. Dropped unread, it frees its attachments."""

    __slots__ = ("_attachments", "_payload", "_unpack")

    def __init__(
        self,
        payload: Payload | IpcError,
        attachments: Sequence[Attachment],
        unpack: Callable[[Payload, Sequence[Attachment]], t.Any],
    ) -> None:
        self._unpack = unpack
        self._payload: Payload | IpcError | None = payload
        self._attachments = attachments

    @property
    def data(self) -> Buffer:
        """The payload as bytes, until it is decoded. Raises what receiving it raised."""
        payload = self._present()
        if not isinstance(payload, Buffers):
            payload = self._payload = payload.read()
        return payload

    def to(self) -> t.Any:
        """Decode the message; possible once.

        Raises MovedError the second time, and DecodeError or IpcIOError for what the peer sent
        wrong or this process could not take.
        """
        payload = self._present()
        return self._unpack(payload, self._take())

    def close(self) -> None:
        """Free the attachments of a message that will not be decoded."""
        close_all(self._take())

    def _present(self) -> Payload:
        if self._payload is None:
            raise MovedError("this message was decoded or closed already")
        if isinstance(self._payload, BaseException):
            raise self._payload
        return self._payload

    def _take(self) -> Sequence[Attachment]:
        self._payload = None
        attachments, self._attachments = self._attachments, ()
        return attachments

    def __del__(self) -> None:
        for attachment in self._attachments:  # no helper: at exit modules are empty
            attachment.close()

    def __repr__(self) -> str:
        payload, count = self._payload, len(self._attachments)
        if payload is None:
            return "<IpcMessage (decoded or closed)>"
        if isinstance(payload, BaseException):
            return f"<IpcMessage {payload!r}>"
        text = f"{len(payload)} bytes, {count} attachments"
        if not isinstance(payload, Buffers):
            return f"<IpcMessage of {text}>"
        shown = bytes(payload[:64])
        return f"<IpcMessage of {text}: {shown!r}{'...' if len(payload) > len(shown) else ''}>"


@dataclass(frozen=True)
class MessageReceived:
    """A message arrived at the receiver `id`."""

    id: int
    message: IpcMessage


@dataclass(frozen=True)
class ChannelClosed:
    """Every sender of receiver `id` is gone and its queue is empty; it has left the set."""

    id: int


IpcSelectionResult = MessageReceived | ChannelClosed


class IpcReceiverSet:
    """Owns receivers and tells which have messages. Safe to use from several threads.

    Ids count up from 0 and are never used again. The receivers may be of several backends, but
    then each wait costs a thread.
    """

    def __init__(self) -> None:
        self._sets: t.Any = JoinedSets()
        self._stirred = threading.Event()  # ends a wait before there is a backend to wait on
        self._lock = BriefLock()
        self._next_id = 0
        # A receiver that was moved here still knows how to unpack, and to make another like it.
        self._members: dict[int, AnyReceiver] = {}
        # A wait may still return a message of a receiver that has left since it began. So who
        # left is kept, with a number that counts them, and so is where each wait began.
        self._left: dict[int, tuple[AnyReceiver, int]] = {}
        self._leavings = 0
        self._waits: dict[object, int] = {}
        mend_after_fork(self)

    @classmethod
    def new(cls) -> IpcReceiverSet:
        """Make an empty set."""
        return cls()

    def add(self, receiver: AnyReceiver) -> int:
        """Move a receiver into the set; return its id. What it has received already counts.

        Raises MovedError or ClosedError for a receiver that is not yours any more.
        """
        with self._lock:
            id = self._next_id
            self._members[id] = receiver
            try:
                self._sets.add(receiver._backend, receiver._owned(), id)
            except BaseException:
                del self._members[id]
                raise
            self._next_id += 1
            self._stirred.set()
            receiver._retire(MovedError, f"was added to a receiver set, as {id}")
            return id

    def remove(self, id: int) -> AnyReceiver:
        """Give a receiver back, with what it holds. Raises KeyError for an id not in the set."""
        with self._lock:
            member = self._members[id]
            handle = self._sets.remove(member._backend, id)
            self._leave(id)
            self._sets.wake()  # a select on a set that is now empty has to raise
            return member._like(handle)

    def select(self) -> list[IpcSelectionResult]:
        """Wait for messages and closed channels; never returns an empty list.

        Raises ValueError for an empty set, which would wait for ever, and ClosedError when
        another thread closes the set.
        """
        while True:
            if not self._members and type(self._sets) is not Gone:
                self.wake()  # whoever else waits
                raise ValueError("select() on an empty set would wait for ever")
            results = self.wait()
            if results:
                return results

    def try_select(self) -> list[IpcSelectionResult]:
        """Return what has happened already. Raises Empty if that is nothing."""
        return self.try_select_timeout(0)

    def try_select_timeout(self, seconds: float) -> list[IpcSelectionResult]:
        """Wait at most `seconds` for something to happen. Raises Empty if nothing does."""
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
        """Like `select`, but wait on an empty set too, for whatever another thread adds.

        Returns up to `limit` results of each backend; the list is empty when `timeout` seconds
        pass, and sometimes earlier. Where the platform has no threads, NotSupportedError is raised
        instead of waiting for ever.
        """
        timeout = check_timeout(timeout)
        if not self._sets.begun:
            self._wait_for_the_first(timeout)
            return []
        this = object()
        try:
            self._waits[this] = self._leavings
            return [self._result(*item) for item in self._sets.select(timeout, limit)]
        finally:
            self._waits.pop(this, None)
            if self._left:
                self._forget_who_left()

    def _wait_for_the_first(self, timeout: float | None) -> None:
        if THREADS:
            if self._stirred.wait(timeout):
                self._stirred.clear()
        elif timeout is None:
            raise NotSupportedError(
                "this platform has no threads: nobody could add a receiver during the wait"
            )
        else:
            time.sleep(timeout)

    def wake(self) -> None:
        """Make a running `wait` in another thread, or else the next one, return early."""
        self._stirred.set()
        sets = self._sets
        if type(sets) is not Gone:
            sets.wake()

    def close(self) -> None:
        """Close the set and its receivers; a `select` in another thread raises ClosedError."""
        with self._lock:
            sets, self._sets = self._sets, Gone(ClosedError, "this receiver set is closed")
            for id in tuple(self._members):
                self._leave(id)
            self._stirred.set()
        sets.close()

    def after_fork(self) -> None:
        self._stirred = threading.Event()
        self._waits.clear()

    def _result(
        self, id: int, data: t.Any, attachments: Sequence[Attachment]
    ) -> IpcSelectionResult:
        if data is None:
            with self._lock:
                self._leave(id)
                if not self._members:
                    self.wake()  # other threads have nothing to wait for
            return ChannelClosed(id)
        member = self._members.get(id) or self._left[id][0]
        return MessageReceived(id, IpcMessage(data, attachments, member._unpack))

    def _leave(self, id: int) -> None:
        if id in self._members:  # else another thread has just closed the set
            # In this order: who looks for one looks among those who left last.
            self._left[id] = self._members[id], self._leavings
            self._leavings += 1
            del self._members[id]

    def _forget_who_left(self) -> None:
        with self._lock:
            if type(self._sets) is not Gone and self._sets.left_over:
                return
            oldest = min([*self._waits.values()], default=self._leavings)
            for id, (_, number) in [*self._left.items()]:
                if number >= oldest:
                    break
                del self._left[id]

    def __len__(self) -> int:
        return len(self._members)

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f" ({self._sets})" if type(self._sets) is Gone else ""
        return f"<IpcReceiverSet of {len(self)}{state}>"
