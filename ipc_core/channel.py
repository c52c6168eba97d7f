"""Channels and both of their ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from ipc_core import registry
from ipc_core.attachable import Attachable
from ipc_core.codecs import default_codec
from ipc_core.errors import ClosedError, Disconnected, Empty, IpcError, MovedError
from ipc_core.message import close_all, decode, encode
from ipc_core.spi import Attachment, Backend, Buffer, Kind

if TYPE_CHECKING:
    from typing_extensions import Self

    from ipc_core.aio import IpcStream

_LONGEST = 1e10
"""Three hundred years, which floats and clocks can still add to a time: seconds."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class _SenderEnd(Attachable):
    """What both kinds of sender share. Safe to use from any thread."""

    __slots__ = ()
    _kind: ClassVar[Kind] = Kind.SENDER

    @classmethod
    def connect(cls, name: str) -> Self:
        """Connect to the one-shot server called `name`; the name says which backend it is on.

        Raises IpcIOError when no server of that name waits or another client was first, and
        ValueError for a text that is not a server's name.
        """
        found, address = registry.find_server(name, "once")
        return cls(found.connect(address), found)

    def clone(self) -> Self:
        """Another sender for the same channel; the receiver waits for both to go."""
        return type(self)(self._handle.clone(), self._backend)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the receiver is gone, at most `timeout` seconds; return whether it is."""
        wait_closed: Any = self._handle.wait_closed
        return bool(wait_closed(check_timeout(timeout)))

    def to_opaque(self) -> OpaqueIpcSender:
        """Forget what it sends; this sender is moved."""
        return OpaqueIpcSender(self._retire(MovedError, "was made opaque"), self._backend)


class IpcSender(_SenderEnd, Generic[T_contra]):
    """Sends objects. Sending a sender in a message sends a copy: both stay usable."""

    __slots__ = ()

    def send(self, obj: T_contra) -> None:
        """Send one object with the endpoints and regions inside it. Never waits for the receiver.

        Receivers inside the message are moved: the objects here raise MovedError from now on.
        On any error nothing was sent and every receiver stays usable. Raises EncodeError for
        an object that cannot be encoded, BrokenChannelError when no receiver is left,
        ForeignHandleError for an attachment of another backend, IpcIOError when the system
        holds no more.
        """
        data, embedded = encode(default_codec, obj)
        if not embedded:
            self._handle.send(data)
            return
        self._handle.send(data, [attached._handle for attached in embedded])
        for attached in embedded:
            attached._sent()


class IpcBytesSender(_SenderEnd):
    """Sends bytes as they are: no codec, so nothing a peer sends can run code."""

    __slots__ = ()

    def send(self, data: Buffer) -> None:
        """Send one message of bytes. Never waits for the receiver.

        Raises BrokenChannelError when no receiver is left, IpcIOError when the system holds no
        more.
        """
        if type(data) is not bytes:
            data = _contiguous(data)
        self._handle.send(data)


class _Movable(Attachable):
    """The owner of a receiver's handle. Sending it in a message moves it, with what is queued."""

    __slots__ = ()
    _kind: ClassVar[Kind] = Kind.RECEIVER

    @staticmethod
    def _unpack(backend: Backend, data: Buffer, attachments: Sequence[Attachment]) -> Any:
        """Turn what a handle received into what the user receives."""
        return decode(default_codec, backend, data, attachments)

    def _sent(self) -> None:
        try:
            self._retire(MovedError, "was sent in a message")
        except ClosedError:
            pass  # by another thread, after the message was accepted


class _ReceiverEnd(_Movable, Generic[T_co]):
    """What both kinds of receiver share. Each message goes to exactly one caller."""

    __slots__ = ("_owed",)

    def __init__(self, handle: Any, backend: Backend) -> None:
        self._owed: IpcError | None = None
        super().__init__(handle, backend)

    def _recv(self, timeout: float | None) -> T_co:
        if self._owed is not None:
            owed, self._owed = self._owed, None
            raise owed
        data, attachments = self._handle.recv(timeout)
        message: T_co = self._unpack(self._backend, data, attachments)
        return message

    def recv(self) -> T_co:
        """Wait for a message. Raises Disconnected once every sender is gone and all is read,
        DecodeError for a message that does not decode (the next call works), ClosedError when
        another thread closes this receiver."""
        return self._recv(None)

    def try_recv(self) -> T_co:
        """Return a message that has already arrived. Raises Empty if there is none, and what
        `recv` raises."""
        return self._recv(0)

    def try_recv_timeout(self, seconds: float) -> T_co:
        """Wait at most `seconds`. Raises Empty if nothing arrived, and what `recv` raises."""
        return self._recv(check_timeout(seconds))

    def recv_many(self, max: int, timeout: float | None = None) -> list[T_co]:
        """Wait like `recv` for one message, then take up to `max` that have already arrived.

        Raises Empty if nothing arrived within `timeout` seconds, and what `recv` raises. An error
        after the first message is raised by the next receive, here or in `recv`.
        """
        if max < 1:
            raise ValueError(f"max must be at least 1, not {max}")
        messages = [self._recv(check_timeout(timeout))]
        while len(messages) < max:
            try:
                messages.append(self._recv(0))
            except (Empty, Disconnected):
                break
            except IpcError as error:
                self._owed = error
                break
        return messages

    def to_opaque(self) -> OpaqueIpcReceiver:
        """Forget what it receives; this receiver is moved."""
        return OpaqueIpcReceiver(self._retire(MovedError, "was made opaque"), self._backend)

    def fileno(self) -> int | None:
        """A descriptor that polls readable when a message waits; None where there is none."""
        fileno: int | None = self._handle.fileno()
        return fileno

    def to_stream(self) -> IpcStream[T_co]:
        """Make an async iterator, for asyncio and trio, that owns this receiver; it is moved.

        Raises NotSupportedError without the extra `ipc-core[async]`.
        """
        from ipc_core.aio import IpcStream

        handle = self._retire(MovedError, "was made a stream")
        return IpcStream(type(self)(handle, self._backend))

    def __iter__(self) -> Iterator[T_co]:
        """Yield messages until the channel is disconnected."""
        while True:
            try:
                message = self._recv(None)
            except Disconnected:
                return
            yield message


class IpcReceiver(_ReceiverEnd[T_co]):
    """Receives objects. Sending a receiver in a message moves it, with what is queued."""

    __slots__ = ()


class IpcBytesReceiver(_ReceiverEnd[bytes]):
    """Receives bytes. Attachments, which no IpcBytesSender sends, are closed."""

    __slots__ = ()

    @staticmethod
    def _unpack(backend: Backend, data: Buffer, attachments: Sequence[Attachment]) -> bytes:
        if attachments:
            close_all(attachments)
        return data if type(data) is bytes else bytes(data)


class OpaqueIpcSender(_SenderEnd):
    """A sender of whatever: it can be kept, cloned and sent on, but not used before `to`."""

    __slots__ = ()

    def to(self, type: type[T] | None = None) -> IpcSender[T]:
        """Make it a sender of objects again; this object is moved."""
        return IpcSender(self._retire(MovedError, "was converted"), self._backend)

    def to_bytes(self) -> IpcBytesSender:
        """Make it a sender of bytes again; this object is moved."""
        return IpcBytesSender(self._retire(MovedError, "was converted"), self._backend)


class OpaqueIpcReceiver(_Movable):
    """A receiver of whatever: it can be kept, sent on and added to a set."""

    __slots__ = ()

    def to(self, type: type[T] | None = None) -> IpcReceiver[T]:
        """Make it a receiver of objects again; this object is moved."""
        return IpcReceiver(self._retire(MovedError, "was converted"), self._backend)

    def to_bytes(self) -> IpcBytesReceiver:
        """Make it a receiver of bytes again; this object is moved."""
        return IpcBytesReceiver(self._retire(MovedError, "was converted"), self._backend)


@overload
def channel(*, backend: str | Backend | None = None) -> tuple[IpcSender[Any], IpcReceiver[Any]]: ...
@overload
def channel(
    type: type[T], *, backend: str | Backend | None = None
) -> tuple[IpcSender[T], IpcReceiver[T]]: ...
@overload
def channel(
    type: object, *, backend: str | Backend | None = None
) -> tuple[IpcSender[Any], IpcReceiver[Any]]: ...
def channel(
    type: object = None, *, backend: str | Backend | None = None
) -> tuple[IpcSender[Any], IpcReceiver[Any]]:
    """Make a channel for objects; return its sender and its receiver.

    `type` tells the type checker what travels; nothing is checked at run time. For a union,
    annotate: `pair: tuple[IpcSender[A | B], IpcReceiver[A | B]] = channel()`.
    Raises NoBackendError when no backend can be used.
    """
    found = registry.backend(backend)
    sender, receiver = found.channel()
    return IpcSender(sender, found), IpcReceiver(receiver, found)


def bytes_channel(
    *, backend: str | Backend | None = None
) -> tuple[IpcBytesSender, IpcBytesReceiver]:
    """Make a channel for bytes; return its sender and its receiver.

    Raises NoBackendError when no backend can be used.
    """
    found = registry.backend(backend)
    sender, receiver = found.channel()
    return IpcBytesSender(sender, found), IpcBytesReceiver(receiver, found)


def _contiguous(data: Buffer) -> Buffer:
    """What backends take: one run of single bytes."""
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def check_timeout(seconds: float | None) -> float | None:
    """Return what backends take: None for ever, else a finite number of seconds.

    Raises ValueError for negative numbers and NaN.
    """
    if seconds is None or seconds == math.inf:
        return None
    if not seconds >= 0:
        raise ValueError(f"a timeout is a number of seconds from 0 up, not {seconds!r}")
    return min(seconds, _LONGEST)
