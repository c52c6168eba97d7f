"""The sending ends of channels."""

from __future__ import annotations

import ipc_core._typing as t
from ipc_core.messages.attachable import Attachable
from ipc_core.messages.format import BytesEnd, ObjectEnd, checked_limit, format_for
from ipc_core.messages.message import encode_message, too_large
from ipc_core.plugins import choice
from ipc_core.spi import Buffer, Kind
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import EncodeError, MovedError
from ipc_core.spi.handles import contiguous

T = t.TypeVar("T")
T_contra = t.TypeVar("T_contra", contravariant=True)


class _SenderEnd(Attachable):
    """Common base of both kinds of sender. Safe to use from any thread."""

    __slots__ = ()
    _kind: t.ClassVar[Kind] = Kind.SENDER

    def clone(self) -> t.Self:
        """Return another sender for the same channel; the receiver waits for both to go."""
        return self._like(self._handle.clone())

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the receiver is gone, at most `timeout` seconds; return whether it is."""
        wait_closed: t.Any = self._handle.wait_closed
        return bool(wait_closed(check_timeout(timeout)))


class IpcSender(ObjectEnd, _SenderEnd, t.Generic[T_contra]):
    """Sends objects. Sending a sender in a message sends a copy: both stay usable."""

    __slots__ = ("_format",)

    @t.overload
    @classmethod
    def connect(
        cls,
        name: str,
        type: type[T],
        *,
        codec: str | None = None,
        max_message: int | None = None,
    ) -> IpcSender[T]: ...
    @t.overload
    @classmethod
    def connect(
        cls,
        name: str,
        type: object = None,
        *,
        codec: str | None = None,
        max_message: int | None = None,
    ) -> t.Self: ...
    @classmethod
    def connect(
        cls,
        name: str,
        type: object = None,
        *,
        codec: str | None = None,
        max_message: int | None = None,
    ) -> IpcSender[t.Any]:
        """Connect to the one-shot server called `name`; the name says which backend it is on.

        `type`, `codec` and `max_message` are those that the server was made with, see `channel`.
        Raises IpcIOError when no server of that name waits or another client was first, and
        ValueError for a text that is not a server's name.
        """
        format = format_for(type, codec, max_message)
        found, address = choice.find_server(name, "once")
        return cls(found.connect(address), found, format)

    def send(self, obj: T_contra) -> None:
        """Send one object with the endpoints and regions inside it. Never waits for the receiver.

        Receivers inside the message are moved: the objects here raise MovedError from now on.
        On any error nothing was sent and every receiver stays usable. Raises EncodeError for
        an object that cannot be encoded or is larger than the channel's `max_message`,
        BrokenChannelError when no receiver is left, ForeignHandleError for an attachment of
        another backend, IpcIOError when the system holds no more.
        """
        data, embedded = encode_message(self._format, obj)
        if not embedded:
            self._handle.send(data)
            return
        owners, handles = embedded
        self._handle.send(data, handles)
        for owner in owners:
            owner._sent()

    def to_opaque(self) -> OpaqueIpcSender:
        """Return this sender without its type, which is kept for `to`; this object is moved."""
        handle = self._retire(MovedError, "was made opaque")
        return OpaqueIpcSender(handle, self._backend, self._format)


class IpcBytesSender(BytesEnd, _SenderEnd):
    """Sends bytes as they are: no codec, so nothing a peer sends can run code."""

    __slots__ = ("_max_message",)

    @classmethod
    def connect(cls, name: str, *, max_message: int | None = None) -> t.Self:
        """Connect to the one-shot server called `name`. See `IpcSender.connect`."""
        checked_limit(max_message)
        found, address = choice.find_server(name, "once")
        return cls(found.connect(address), found, max_message)

    def send(self, data: Buffer) -> None:
        """Send one message of bytes. Never waits for the receiver.

        Raises EncodeError for more bytes than the channel's `max_message`, BrokenChannelError when
        no receiver is left, IpcIOError when the system holds no more.
        """
        if type(data) is not bytes:
            data = contiguous(data)
        if self._max_message is not None and len(data) > self._max_message:
            raise EncodeError(too_large(len(data), self._max_message))
        self._handle.send(data)

    def to_opaque(self) -> OpaqueIpcSender:
        """Return this sender without its type, which is kept for `to`; this object is moved."""
        format = format_for(max_message=self._max_message)
        return OpaqueIpcSender(self._retire(MovedError, "was made opaque"), self._backend, format)


class OpaqueIpcSender(ObjectEnd, _SenderEnd):
    """A sender of any type: it can be kept, cloned and sent on, but sends nothing before `to`."""

    __slots__ = ("_format",)

    def to(self, type: type[T] | None = None) -> IpcSender[T]:
        """Make it a sender of objects again, with the codec that it came with; this object is
        moved. Raises TypeError for another type than a typed channel carries."""
        format = self._format_to(type)
        return IpcSender(self._retire(MovedError, "was converted"), self._backend, format)

    def to_bytes(self) -> IpcBytesSender:
        """Make it a sender of bytes again; this object is moved."""
        limit = self._format.max_message
        return IpcBytesSender(self._retire(MovedError, "was converted"), self._backend, limit)
