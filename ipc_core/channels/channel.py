"""Channels: a sender and a receiver, on a backend, with a format."""

from __future__ import annotations

import ipc_core._typing as t
from ipc_core.channels.receiver import IpcBytesReceiver, IpcReceiver
from ipc_core.channels.sender import IpcBytesSender, IpcSender
from ipc_core.messages.format import checked_limit, format_for
from ipc_core.plugins import choice
from ipc_core.spi import Backend

T = t.TypeVar("T")


@t.overload
def channel(
    *,
    codec: str | None = None,
    max_message: int | None = None,
    backend: str | Backend | None = None,
) -> tuple[IpcSender[t.Any], IpcReceiver[t.Any]]: ...
@t.overload
def channel(
    type: type[T],
    *,
    codec: str | None = None,
    max_message: int | None = None,
    backend: str | Backend | None = None,
) -> tuple[IpcSender[T], IpcReceiver[T]]: ...
@t.overload
def channel(
    type: object,
    *,
    codec: str | None = None,
    max_message: int | None = None,
    backend: str | Backend | None = None,
) -> tuple[IpcSender[t.Any], IpcReceiver[t.Any]]: ...
def channel(
    type: object = None,
    *,
    codec: str | None = None,
    max_message: int | None = None,
    backend: str | Backend | None = None,
) -> tuple[IpcSender[t.Any], IpcReceiver[t.Any]]:
    """Make a channel for objects; return its sender and its receiver.

    `type` is the type of the messages, for the type checker. With the default codec, pickle,
    nothing is checked at run time; with `codec="msgspec"` each arriving message is. For a union,
    annotate:
    `pair: tuple[IpcSender[A | B], IpcReceiver[A | B]] = channel()`. `max_message` is the largest
    payload in bytes: more is refused where it is sent, and, before it is decoded, where it is
    received. Codec, type and limit travel with an end that is sent in a message.

    Raises NoBackendError when no backend can be used, NotSupportedError for a codec that is not
    installed, and the codec's own error for a type that it cannot carry.
    """
    format = format_for(type, codec, max_message)
    found = choice.backend(backend)
    sender, receiver = found.channel()
    return IpcSender(sender, found, format), IpcReceiver(receiver, found, format)


def bytes_channel(
    *, max_message: int | None = None, backend: str | Backend | None = None
) -> tuple[IpcBytesSender, IpcBytesReceiver]:
    """Make a channel for bytes; return its sender and its receiver.

    `max_message` is as in `channel`. Raises NoBackendError when no backend can be used.
    """
    checked_limit(max_message)
    found = choice.backend(backend)
    sender, receiver = found.channel()
    return IpcBytesSender(sender, found, max_message), IpcBytesReceiver(
        receiver, found, max_message
    )
