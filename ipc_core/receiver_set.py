"""Many receivers, waited for together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from ipc_core.attachable import Gone
from ipc_core.channel import IpcBytesReceiver, IpcReceiver, OpaqueIpcReceiver, check_timeout
from ipc_core.errors import ClosedError, Empty, IpcError, MovedError
from ipc_core.forking import BriefLock, mend_after_fork
from ipc_core.joined_sets import JoinedSets
from ipc_core.message import close_all
from ipc_core.spi import Attachment, Backend, Buffer

if TYPE_CHECKING:
    from typing_extensions import Self

AnyReceiver = Union[IpcReceiver[Any], IpcBytesReceiver, OpaqueIpcReceiver]


_REMEMBERED = 64


class IpcMessage:
    """One message, not yet decoded. Dropped unread, it frees its attachments."""

    __slots__ = ("_attachments", "_backend", "_data", "_decoded", "_unpack")

    def __init__(
        self,
        data: Buffer | IpcError,
        attachments: Sequence[Attachment],
        unpack: Callable[[Backend, Buffer, Sequence[Attachment]], Any],
        backend: Backend,
    ) -> None:
        self._unpack = unpack
        self._data = data
        self._attachments = attachments
        self._backend = backend
        self._decoded = False

    @property
    def data(self) -> Buffer:
        """The payload as bytes. Raises what receiving it raised."""
        if isinstance(self._data, BaseException):
            raise self._data
        return self._data

    def to(self) -> Any:
        """Decode the message; possible once.

        Raises MovedError the second time, and DecodeError or IpcIOError for what the peer sent
        wrong or this process could not take.
        """
        attachments = self._take()
        return self._unpack(self._backend, self.data, attachments)

    def close(self) -> None:
        """Free the attachments of a message that will not be decoded."""
        if not self._decoded:
            close_all(self._take())

    def _take(self) -> Sequence[Attachment]:
        if self._decoded:
            raise MovedError("this message was decoded or closed already")
        self._decoded = True
        attachments, self._attachments = self._attachments, ()
        return attachments

    def __del__(self) -> None:
        for attachment in self._attachments:  # no helper: at exit modules are empty
            attachment.close()

    def __repr__(self) -> str:
        if isinstance(self._data, BaseException):
            return f"<IpcMessage {self._data!r}>"
        shown = bytes(self._data[:64])
        return (
            f"<IpcMessage of {len(self._data)} bytes, {len(self._attachments)} attachments:"
            f" {shown!r}{'...' if len(self._data) > len(shown) else ''}>"
        )


@dataclass(frozen=True)
class MessageReceived:
    """A message arrived at the receiver `id`."""

    id: int
    message: IpcMessage


@dataclass(frozen=True)
class ChannelClosed:
    """Every sender of receiver `id` is gone and its queue is empty; it has left the set."""

    id: int


IpcSelectionResult = Union[MessageReceived, ChannelClosed]


class IpcReceiverSet:
    """Owns receivers and tells which have messages. Safe to use from several threads.

    Ids count up from 0 and are never used again. The receivers may be of several backends, but
    then each wait costs a thread.
    """

    def __init__(self) -> None:
        self._sets: Any = JoinedSets()
        self._first_added = threading.Event()
        self._lock = BriefLock()
        self._next_id = 0
        self._members: dict[int, tuple[type[AnyReceiver], Backend]] = {}
        # A select that another thread runs may still return a message of a removed receiver.
        self._removed: dict[int, tuple[type[AnyReceiver], Backend]] = {}
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
            self._members[id] = type(receiver), receiver._backend
            try:
                self._sets.add(receiver._backend, receiver._owned(), id)
            except BaseException:
                del self._members[id]
                raise
            self._next_id += 1
            self._first_added.set()
            receiver._retire(MovedError, f"was added to a receiver set, as {id}")
            return id

    def remove(self, id: int) -> AnyReceiver:
        """Give a receiver back, with what it holds. Raises KeyError for an id not in the set."""
        with self._lock:
            kind, backend = self._removed[id] = self._members[id]
            if len(self._removed) > _REMEMBERED:
                del self._removed[next(iter(self._removed))]
            handle = self._sets.remove(backend, id)
            del self._members[id]
            self._sets.wake()  # a select on a set that is now empty has to raise
            return kind(handle, backend)

    def select(self) -> list[IpcSelectionResult]:
        """Wait for messages and closed channels; never returns an empty list.

        Raises ValueError for an empty set, which would wait for ever, and ClosedError when
        another thread closes the set.
        """
        while True:
            if not self._members and type(self._sets) is not Gone:
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

    def wait(self, timeout: float | None = None) -> list[IpcSelectionResult]:
        """Like `select`, but wait on an empty set too, for whatever another thread adds.

        The list is empty when `timeout` seconds pass, and sometimes earlier.
        """
        timeout = check_timeout(timeout)
        if not self._first_added.is_set():
            self._first_added.wait(timeout)
            return []
        return [self._result(*item) for item in self._sets.select(timeout)]

    def wake(self) -> None:
        """Make a running `wait` in another thread, or else the next one, return early."""
        sets = self._sets
        if type(sets) is not Gone:
            sets.wake()

    def close(self) -> None:
        """Close the set and its receivers; a `select` in another thread raises ClosedError."""
        with self._lock:
            sets, self._sets = self._sets, Gone(ClosedError, "this receiver set is closed")
            self._members.clear()
            self._first_added.set()
        sets.close()

    def after_fork(self) -> None:
        added, self._first_added = self._first_added, threading.Event()
        if added.is_set():
            self._first_added.set()

    def _result(self, id: int, data: Any, attachments: Sequence[Attachment]) -> IpcSelectionResult:
        if data is None:
            self._members.pop(id, None)
            return ChannelClosed(id)
        found = self._members.get(id) or self._removed.get(id)
        if found is None:  # another thread has closed the set meanwhile
            close_all(attachments)
            raise ClosedError("this receiver set is closed")
        kind, backend = found
        return MessageReceived(id, IpcMessage(data, attachments, kind._unpack, backend))

    def __len__(self) -> int:
        return len(self._members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f" ({self._sets})" if type(self._sets) is Gone else ""
        return f"<IpcReceiverSet of {len(self)}{state}>"
