"""The receiving ends of channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ipc_core._typing as t
from ipc_core.messages.attachable import Attachable
from ipc_core.messages.format import BytesEnd, ObjectEnd, format_for
from ipc_core.messages.message import close_all, copied, decode_message, too_large
from ipc_core.spi import Attachment, Backend, Kind, Payload
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import (
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    IpcError,
    MovedError,
)

if t.TYPE_CHECKING:
    from ipc_core.channels import stream
else:
    stream = t.Later("ipc_core.channels.stream")

T = t.TypeVar("T")
T_co = t.TypeVar("T_co", covariant=True)


class _Movable(Attachable):
    """The owner of a receiver's handle. Sending it in a message moves it, with its queue."""

    __slots__ = ()
    _kind: t.ClassVar[Kind] = Kind.RECEIVER

    def _unpack(self, payload: Payload, attachments: Sequence[Attachment]) -> t.Any:
        """Turn a handle's message into the user's; also for a receiver that was moved into a set,
        a router or a stream."""
        raise NotImplementedError

    def _sent(self) -> None:
        try:
            self._retire(MovedError, "was sent in a message")
        except ClosedError:
            pass  # by another thread, after the message was accepted


class _ReceiverEnd(_Movable, t.Generic[T_co]):
    """Common base of both kinds of receiver. Each message goes to exactly one caller."""

    __slots__ = ("_owed",)

    def __init__(self, handle: t.Any, backend: Backend, *details: t.Any) -> None:
        self._owed: IpcError | None = None
        super().__init__(handle, backend, *details)

    def _recv(self, timeout: float | None) -> T_co:
        if self._owed is not None:
            owed, self._owed = self._owed, None
            raise owed
        data, attachments = self._handle.recv(timeout)
        message: T_co = self._unpack(data, attachments)
        return message

    def recv(self) -> T_co:
        """Wait for a message. Raises Disconnected once every sender is gone and all is read,
        DecodeError for a message that does not decode (the next call works), ClosedError when
        another thread closes this receiver."""
        if self._owed is not None:
            return self._recv(None)
        data, attachments = self._handle.recv(None)  # as _recv does, without its call
        message: T_co = self._unpack(data, attachments)
        return message

    def try_recv(self) -> T_co:
        """Return a message that has already arrived. Raises Empty if there is none, else
        the same as `recv`."""
        return self._recv(0)

    def try_recv_timeout(self, seconds: float) -> T_co:
        """Wait at most `seconds`. Raises Empty if nothing arrived, else the same as `recv`."""
        return self._recv(check_timeout(seconds))

    def recv_many(self, max: int, timeout: float | None = None) -> list[T_co]:
        """Wait like `recv` for one message, then take up to `max` that have already arrived.

        Raises Empty if nothing arrived within `timeout` seconds, else the same as `recv`. An error
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

    def fileno(self) -> int | None:
        """Return a descriptor that polls readable when a message waits, or None."""
        fileno: int | None = self._handle.fileno()
        return fileno

    def to_stream(self) -> stream.IpcStream[T_co]:
        """Make an async iterator, for asyncio and trio, that owns this receiver; it is moved.

        Raises NotSupportedError without the extra `ipc-core[async]`.
        """
        return stream.IpcStream(self._like(self._retire(MovedError, "was made a stream")))

    def __iter__(self) -> Iterator[T_co]:
        """Yield messages until the channel is disconnected."""
        while True:
            try:
                message = self._recv(None)
            except Disconnected:
                return
            yield message


class IpcReceiver(_ReceiverEnd[T_co], ObjectEnd):
    """Receives objects. Sending a receiver in a message moves it, with its queue."""

    __slots__ = ("_format",)

    def _unpack(self, payload: Payload, attachments: Sequence[Attachment]) -> t.Any:
        return decode_message(self._format, self._backend, payload, attachments)

    def to_opaque(self) -> OpaqueIpcReceiver:
        """Return this receiver without its type, which is kept for `to`; this object is moved."""
        handle = self._retire(MovedError, "was made opaque")
        return OpaqueIpcReceiver(handle, self._backend, self._format)


class IpcBytesReceiver(_ReceiverEnd[bytes], BytesEnd):
    """Receives bytes. Attachments, which no IpcBytesSender sends, are closed."""

    __slots__ = ("_max_message",)

    def _unpack(self, payload: Payload, attachments: Sequence[Attachment]) -> bytes:
        if attachments:
            close_all(attachments)
        if self._max_message is not None and len(payload) > self._max_message:
            raise DecodeError(too_large(len(payload), self._max_message))
        return payload if type(payload) is bytes else copied(payload)

    def to_opaque(self) -> OpaqueIpcReceiver:
        """Return this receiver without its type, which is kept for `to`; this object is moved."""
        format = format_for(max_message=self._max_message)
        handle = self._retire(MovedError, "was made opaque")
        return OpaqueIpcReceiver(handle, self._backend, format)


class OpaqueIpcReceiver(ObjectEnd, _Movable):
    """A receiver of any type: it can be kept, sent on and added to a set."""

    __slots__ = ("_format",)

    def _unpack(self, payload: Payload, attachments: Sequence[Attachment]) -> t.Any:
        return decode_message(self._format, self._backend, payload, attachments)

    def to(self, type: type[T] | None = None) -> IpcReceiver[T]:
        """Make it a receiver of objects again, with the codec that it came with; this object is
        moved. Raises TypeError for another type than a typed channel carries."""
        format = self._format_to(type)
        return IpcReceiver(self._retire(MovedError, "was converted"), self._backend, format)

    def to_bytes(self) -> IpcBytesReceiver:
        """Make it a receiver of bytes again; this object is moved."""
        limit = self._format.max_message
        return IpcBytesReceiver(self._retire(MovedError, "was converted"), self._backend, limit)
