"""The results of a receiver set: messages not yet decoded, and channels that closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipc_core._typing as t
from ipc_core.messages.message import close_all
from ipc_core.spi import Attachment, Buffer, Payload
from ipc_core.spi.errors import IpcError, MovedError
from ipc_core.spi.handles import Buffers


class IpcMessage:
    """A message that is not decoded yet. If it is dropped unread, its attachments are freed."""

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
        """The payload as bytes. Raises the error with which receiving it failed, and MovedError
        once the message is decoded or closed."""
        payload = self._present()
        if not isinstance(payload, Buffers):
            payload = self._payload = payload.read()
        return payload

    def to(self) -> t.Any:
        """Decode the message; possible once.

        Raises MovedError the second time, DecodeError for a message that the peer wrote wrongly,
        and IpcIOError for one that this process could not receive.
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
        for attachment in self._attachments:  # not close_all: at exit this module is empty
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
    """A message that arrived at the receiver `id`."""

    id: int
    message: IpcMessage


@dataclass(frozen=True)
class ChannelClosed:
    """The end of receiver `id`, which has left the set: every sender is gone, the queue empty."""

    id: int


IpcSelectionResult = MessageReceived | ChannelClosed
