"""Senders and receivers: the address of a channel and a connection to it."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar

from ipc_backend_tcp.wire import Address, Frame, Link, Role, pack_attachments, unpack_message
from ipc_core.spi import (
    Attachment,
    BrokenChannelError,
    Buffer,
    ClosedError,
    Disconnected,
    Empty,
    ForeignHandleError,
    IpcError,
    IpcIOError,
    Kind,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class Line:
    """A connection to a channel's home, for one thread at a time. Clones of a sender share it."""

    def __init__(self, address: Address, role: Role, link: Link | None) -> None:
        self.address = address
        self.role = role
        self.link = link
        self.lock = threading.Lock()
        self._users = [self]  # a list, as its append and pop are atomic

    def share(self) -> Line:
        self._users.append(self)
        return self

    def connected(self) -> Link:
        """The connection, or a new one in place of one that an exception left half-way.

        The new one is made first, so that the home never sees this end gone.
        """
        old = self.link
        if old is not None and not old.interrupted:
            return old
        self.link = new = Link(self.address, self.role)
        if old is not None:
            old.hang_up()
        if not self._users:
            raise ClosedError("closed by another thread")
        return new

    def close(self) -> None:
        """Leave. The last one hangs up, and the home knows of it on return.

        A thread that waits in `recv` is woken by the home, which hangs up too. At exit the lock
        may belong to a thread that will never run again.
        """
        self._users.pop()
        if self._users or self.link is None:
            return
        if not sys.is_finalizing():
            self.link.finish()
            with self.lock:
                pass  # whoever was using the connection has left
        self.link.hang_up()


class Endpoint:
    """What both ends share."""

    role: ClassVar[Role]
    _closed = True

    def __init__(self, line: Line) -> None:
        self.line = line
        self._closed = False

    @classmethod
    def connect(cls, address: Address) -> Self:
        """An end of a channel. That the channel is gone shows when it is used."""
        link = None
        with translated(), suppress(ConnectionError):
            link = Link(address, cls.role)
        return cls(Line(address, cls.role, link))

    def check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"this {self.role.name.lower()} is closed")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.line.close()

    def __del__(self) -> None:
        self.close()


class TcpSender(Endpoint):
    """See OsIpcSender.

    `send` waits for the home, which queues without limit, and not for the receiver. A
    KeyboardInterrupt during that wait leaves open whether the message was sent.
    """

    kind: ClassVar[Kind] = Kind.SENDER
    role: ClassVar[Role] = Role.SENDER

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._watching: list[Link] = []

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """Raises IpcIOError(EMSGSIZE) for a message of 2 GiB or more."""
        buffers = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
        head = pack_attachments(self._checked(attachments))
        with kept_open(attachments), translated(), self.line.lock:
            self.check_open()
            try:
                answer, reason = self.line.connected().ask(Frame.SEND, head, *buffers)
            except ConnectionError as error:
                self.check_open()
                raise BrokenChannelError(errno.EPIPE, "no receiver is left") from error
            if answer is not Frame.ACCEPTED:
                code = int.from_bytes(reason, "big")
                raise IpcIOError(code, "the channel's home cannot hold it")
        for attachment in attachments:
            if isinstance(attachment, TcpReceiver):
                attachment.close()

    def _checked(self, attachments: Sequence[Attachment]) -> list[tuple[Role, Address]]:
        refused = {self.line.address}
        for attachment in attachments:
            attachment.kind  # noqa: B018  what the core puts in place of a closed handle raises
            if not isinstance(attachment, (TcpSender, TcpReceiver)):
                name = type(attachment).__name__
                raise ForeignHandleError(f"the tcp backend cannot carry a {name}")
            attachment.check_open()
            if isinstance(attachment, TcpReceiver):
                if attachment.line.address in refused:
                    raise IpcIOError(errno.EINVAL, "a receiver twice, or over its own channel")
                refused.add(attachment.line.address)
        return [(a.role, a.line.address) for a in attachments if isinstance(a, Endpoint)]

    def clone(self) -> TcpSender:
        self.check_open()
        return TcpSender(self.line.share())

    def wait_closed(self, timeout: float | None) -> bool:
        """Waits on a connection of its own, which the home ends with the last receiver."""
        self.check_open()
        deadline = Deadline(timeout)
        with translated():
            try:
                link = Link(self.line.address, Role.WATCHER)
            except ConnectionError:
                return True
            self._watching.append(link)
            try:
                self.check_open()
                is_gone = False
                while not is_gone and (left := deadline.left()) != 0:
                    is_gone = link.wait(left)
                self.check_open()
                return is_gone
            finally:
                self._watching.remove(link)
                link.hang_up()

    def close(self) -> None:
        if not self._closed:
            super().close()
            for link in list(self._watching):
                link.finish()


class TcpReceiver(Endpoint):
    """See OsIpcReceiver.

    A message stays with the home until its attachments are connected here: an error or
    interrupt before that loses nothing, the next `recv` returns the same message.
    """

    kind: ClassVar[Kind] = Kind.RECEIVER
    role: ClassVar[Role] = Role.RECEIVER

    def recv(self, timeout: float | None) -> tuple[Buffer, Sequence[Attachment]]:
        deadline = Deadline(timeout)
        with translated(), deadline.holding(self.line.lock):
            try:
                while True:
                    self.check_open()
                    link = self.line.connected()
                    answer, body = link.ask(Frame.NEXT)
                    if answer is Frame.MESSAGE:
                        return self._take(link, body)
                    if answer is Frame.END:
                        raise Disconnected("every sender is gone")
                    left = deadline.left()
                    if left == 0:
                        raise Empty("nothing has arrived")
                    link.wait(left)
            except ConnectionError as error:
                self.check_open()
                raise Disconnected("the process that made the channel is gone") from error

    def _take(self, link: Link, body: bytearray) -> tuple[Buffer, Sequence[Attachment]]:
        addresses, data = unpack_message(body)
        attachments: list[Attachment] = []
        try:
            for role, address in addresses:
                end = TcpSender if role is Role.SENDER else TcpReceiver
                attachments.append(end.connect(address))
            link.ask(Frame.TAKE)
        except BaseException:
            for attachment in attachments:
                attachment.close()
            raise
        return data, attachments

    def fileno(self) -> None:
        """None: a descriptor would not stay the same, an interrupted connection is replaced."""

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """A thread waits for it, on a connection of its own."""
        self.check_open()
        taken_back = threading.Event()
        try:
            with translated():
                link = Link(self.line.address, Role.LISTENER)
        except IpcIOError as error:
            if not isinstance(error.__cause__, ConnectionError):
                raise
            callback()  # `recv` knows what to do
            return taken_back.set

        def wait() -> None:
            link.wait(None)
            link.hang_up()
            if not taken_back.is_set():
                callback()

        def take_back() -> None:
            taken_back.set()
            link.finish()

        threading.Thread(target=wait, name="ipc-backend-tcp", daemon=True).start()
        return take_back


class Deadline:
    """The time left of a timeout."""

    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        return None if self._at is None else max(0, self._at - time.monotonic())

    @contextmanager
    def holding(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock. Raises Empty if it does not come free in time."""
        left = self.left()
        if not lock.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX)):
            raise Empty("another thread waits for the next message")
        try:
            yield
        finally:
            lock.release()


@contextmanager
def kept_open(attachments: Sequence[Attachment]) -> Iterator[None]:
    """Receivers that another thread closes meanwhile are closed afterwards."""
    lines = [a.line.share() for a in attachments if isinstance(a, TcpReceiver)]
    try:
        for attachment in attachments:
            attachment.check_open()  # type: ignore[union-attr]
        yield
    finally:
        for line in lines:
            line.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the system's errors into the library's."""
    try:
        yield
    except IpcError:
        raise
    except OSError as error:
        text = error.strerror or str(error)
        raise IpcIOError(error.errno or errno.ETIMEDOUT, text) from error
