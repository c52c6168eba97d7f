"""Objects become bytes with attachments, and come back.

While a message is encoded, every endpoint met registers itself with `attach` and pickles as its
slot; while it is decoded, each slot is redeemed once with `take`. The state of a call belongs to
that call: a send inside a `__reduce__`, or a receive inside a `__setstate__`, has its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ipc_core.spi import (
    Attachment,
    Backend,
    Buffer,
    DecodeError,
    EncodeError,
    IpcError,
    IpcIOError,
    Kind,
    Payload,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ipc_core.messages.attachable import Attachable
    from ipc_core.messages.format import Format


Buffers = (bytes, bytearray, memoryview)


class _Calls:
    """The innermost calls of one thread. `encoding` is None outside a message."""

    __slots__ = ("decoding", "encoding")

    def __init__(self) -> None:
        self.encoding: list[Attachable] | tuple[()] | None = None
        self.decoding: Inbox | None = None


class _Thread(threading.local):
    def __init__(self) -> None:
        self.calls = _Calls()


_thread = _Thread()


class Inbox:
    """The attachments of the message that is being decoded."""

    def __init__(self, backend: Backend, attachments: Sequence[Attachment]) -> None:
        self.backend = backend
        self.owners: list[Attachable] = []
        self._attachments: list[Attachment | None] = list(attachments)

    def take(self, slot: int, kind: Kind) -> Any:
        count = len(self._attachments)
        if not 0 <= slot < count:
            raise DecodeError(f"the message refers to attachment {slot}, but has {count}")
        attachment = self._attachments[slot]
        if attachment is None:
            raise DecodeError(f"attachment {slot} is used twice")
        if attachment.kind is not kind:
            raise DecodeError(
                f"attachment {slot} is a {Kind(attachment.kind).name.lower()}, "
                f"the message calls it a {kind.name.lower()}"
            )
        self._attachments[slot] = None
        return attachment

    def close(self) -> None:
        """Close what the message did not refer to."""
        close_all(a for a in self._attachments if a is not None)


def encode(format: Format, obj: object) -> tuple[Buffer | Sequence[Buffer], Sequence[Attachable]]:
    """Return the payload and the endpoints it refers to, by slot.

    Raises EncodeError, with the cause, for an object that the codec cannot carry, or that is too
    large for the channel.
    """
    calls = _thread.calls
    outer = calls.encoding
    try:
        calls.encoding = ()
        data = format.encode(obj)
        embedded = calls.encoding
    except (IpcError, MemoryError):
        raise  # of an endpoint that is closed or moved, or of a send inside
    except Exception as error:
        raise EncodeError(f"cannot encode {type(obj).__qualname__}: {error}") from error
    finally:
        calls.encoding = outer
    if format.max_message is not None:
        size = len(data) if isinstance(data, Buffers) else sum(map(len, data))
        if size > format.max_message:
            raise EncodeError(too_large(size, format.max_message))
    return data, embedded


def start_over() -> None:
    """Forget the endpoints met so far; for a codec that begins its message again."""
    if _thread.calls.encoding:
        _thread.calls.encoding = ()


def decode(
    format: Format, backend: Backend, payload: Payload, attachments: Sequence[Attachment]
) -> Any:
    """Rebuild the object and its endpoints; attachments it does not use are closed.

    Raises DecodeError, with the cause, for bytes that are not a message, or too many of them.
    """
    if attachments or _thread.calls.decoding is not None:
        return _decode_with(format, backend, payload, attachments)
    try:
        if type(payload) is bytes and format.max_message is None:
            return format.decode(payload)
        return format.decode(_readable(format, payload))
    except (DecodeError, IpcIOError, MemoryError):
        raise
    except Exception as error:
        raise DecodeError(format.misread(payload, error)) from error


def _decode_with(
    format: Format, backend: Backend, payload: Payload, attachments: Sequence[Attachment]
) -> Any:
    """Decode a message that has attachments, or that is received inside one which has."""
    calls = _thread.calls
    outer = calls.decoding
    inbox = Inbox(backend, attachments) if attachments else None
    decoded = False
    try:
        calls.decoding = inbox
        obj = format.decode(_readable(format, payload))
        decoded = True
        return obj
    except (DecodeError, IpcIOError, MemoryError):
        raise
    except Exception as error:
        raise DecodeError(format.misread(payload, error)) from error
    finally:
        calls.decoding = outer
        if inbox is not None:
            if not decoded:
                # An interrupt may have come before an owner got its handle.
                close_all(owner for owner in inbox.owners if hasattr(owner, "_handle"))
            inbox.close()


def _readable(format: Format, payload: Payload) -> Buffer:
    """What a codec reads: of memory that the peer can still write a copy, unless it is trusted.

    Raises DecodeError for a payload that is too large for the channel.
    """
    if format.max_message is not None and len(payload) > format.max_message:
        raise DecodeError(too_large(len(payload), format.max_message))
    if isinstance(payload, Buffers):
        return payload
    return payload.map() if format.codec.runs_code else payload.read()


def copied(payload: Payload) -> bytes:
    """The payload as bytes that nobody else can write."""
    return bytes(payload) if isinstance(payload, Buffers) else payload.read()


def too_large(size: int, limit: int) -> str:
    return f"a message of {size} bytes is more than the channel's max_message, {limit}"


def attach(obj: Attachable) -> int | None:
    """Give an endpoint or region its slot in the message that is being encoded; None outside a
    message."""
    calls = _thread.calls
    embedded = calls.encoding
    if embedded is None:
        return None
    if not embedded:
        embedded = calls.encoding = []
    embedded.append(obj)
    return len(embedded) - 1


def is_encoding() -> bool:
    """Whether this is a call from inside `encode`."""
    return _thread.calls.encoding is not None


def take(slot: int, kind: Kind, owner: Attachable) -> tuple[Any, Backend]:
    """Redeem a slot of the message that is being decoded: the handle and its backend.

    If the rest of the message does not decode, `owner` is closed.
    """
    inbox = _thread.calls.decoding
    if inbox is None:
        raise DecodeError(f"the message refers to attachment {slot}, but has none")
    handle = inbox.take(slot, kind)
    inbox.owners.append(owner)
    return handle, inbox.backend


def close_all(attachments: Any) -> None:
    for attachment in attachments:
        attachment.close()
