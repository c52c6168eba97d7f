"""Encoding of an object with the endpoints in it, and decoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import ipc_core._typing as t
from ipc_core.messages.format import Format
from ipc_core.messages.transfer import Embedded, Inbox, thread
from ipc_core.spi import (
    Attachment,
    Backend,
    Buffer,
    DecodeError,
    EncodeError,
    IpcError,
    IpcIOError,
    Payload,
)
from ipc_core.spi.handles import Buffers


def encode_message(format: Format, obj: object) -> tuple[Buffer | Sequence[Buffer], Embedded]:
    """Return the payload, and the endpoints and regions that it refers to.

    Raises EncodeError, with the cause, for an object that the codec cannot carry, or that is too
    large for the channel.
    """
    calls = thread.calls
    outer = calls.encoding
    try:
        calls.encoding = ()
        data = format.to_payload(obj)
        embedded = calls.encoding
    except (IpcError, MemoryError):
        raise  # of a closed or moved endpoint in it, or of a send inside a `__reduce__`
    except Exception as error:
        raise EncodeError(f"cannot encode {type(obj).__qualname__}: {error}") from error
    finally:
        calls.encoding = outer
    if format.max_message is not None:
        size = len(data) if isinstance(data, Buffers) else sum(map(len, data))
        if size > format.max_message:
            raise EncodeError(too_large(size, format.max_message))
    return data, embedded


def decode_message(
    format: Format, backend: Backend, payload: Payload, attachments: Sequence[Attachment]
) -> t.Any:
    """Rebuild the object and its endpoints. Unused attachments are closed.

    Raises DecodeError, with the cause, for bytes that are not a message, or for more of
    them than the channel's limit.
    """
    if attachments or thread.calls.decoding is not None:
        return _decode_with(format, backend, payload, attachments)
    try:
        if type(payload) is not bytes or format.max_message is not None:
            payload = _readable(format, payload)
        return format.from_payload(payload)
    except (DecodeError, IpcIOError, MemoryError):
        raise
    except Exception as error:
        raise DecodeError(format.misread(payload, error)) from error


def _decode_with(
    format: Format, backend: Backend, payload: Payload, attachments: Sequence[Attachment]
) -> t.Any:
    """Decode a message that has attachments, or that is received while one is decoded."""
    calls = thread.calls
    outer = calls.decoding
    inbox = Inbox(backend, attachments) if attachments else None
    decoded = False
    try:
        calls.decoding = inbox
        if type(payload) is not bytes or format.max_message is not None:
            payload = _readable(format, payload)
        obj = format.from_payload(payload)
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
            if inbox.slots.count(None) < len(inbox.slots):
                close_all(handle for handle in inbox.slots if handle is not None)


def _readable(format: Format, payload: Payload) -> Buffer:
    """Return the bytes for a codec to read: a copy of memory that the peer can still write, unless
    the codec trusts the peer anyway.

    Raises DecodeError for a payload that is too large for the channel.
    """
    if format.max_message is not None and len(payload) > format.max_message:
        raise DecodeError(too_large(len(payload), format.max_message))
    if isinstance(payload, Buffers):
        return payload
    return payload.map() if format.codec.runs_code else payload.read()


def copied(payload: Payload) -> bytes:
    """Return the payload as bytes that nobody else can write."""
    return bytes(payload) if isinstance(payload, Buffers) else payload.read()


def too_large(size: int, limit: int) -> str:
    """Return the text of the error for a message above its channel's limit, both in bytes."""
    return f"a message of {size} bytes is more than the channel's max_message, {limit}"


def close_all(closables: Iterable[t.Any]) -> None:
    """Close each of them, in order."""
    for closable in closables:
        closable.close()
