"""The endpoints and regions of the message that a thread is encoding or decoding.

While a message is encoded, every endpoint met registers its handle and is written as the number of
its slot; while one is decoded, each slot is claimed once. The state of a call belongs to that call:
a send inside a `__reduce__`, or a receive inside a `__setstate__`, has its own.

Codecs reach `register` and `claim` as `attach` and `redeem` (see spi.codec), which check formats.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import ipc_core._typing as t
from ipc_core.spi import Attachment, Backend, DecodeError, Kind


class Owner(t.Protocol):
    """An Attachable, as far as this module uses it: `attachable` stands above it."""

    def close(self) -> None: ...

    def _sent(self) -> None:
        """Note that the message that carries this object was accepted."""


Embedded = tuple[list[Owner], list[Attachment]] | tuple[()]
"""The objects met in a message, and their handles, by slot."""


class _Calls:
    """The messages that a thread is encoding and decoding, the innermost of each.

    `encoding` is None outside `encode_message`, `decoding` unless the message has attachments. They
    are one object, since a look-up in a `threading.local` is slow.
    """

    __slots__ = ("decoding", "encoding")

    def __init__(self) -> None:
        self.encoding: Embedded | None = None
        self.decoding: Inbox | None = None


class _Thread(threading.local):
    def __init__(self) -> None:
        self.calls = _Calls()


thread = _Thread()


class Inbox:
    """The attachments of the message that is being decoded."""

    __slots__ = ("backend", "owners", "slots")

    def __init__(self, backend: Backend, attachments: Sequence[Attachment]) -> None:
        self.backend = backend
        self.slots: list[Attachment | None] = [*attachments]
        """Each until it is claimed."""
        self.owners: list[Owner] = []


def register(owner: Owner, handle: Attachment) -> int | None:
    """Give a handle its slot in the message that is being encoded; return None outside one."""
    calls = thread.calls
    embedded = calls.encoding
    if embedded is None:
        return None
    if not embedded:
        embedded = calls.encoding = [], []
    owners, handles = embedded
    owners.append(owner)
    handles.append(handle)
    return len(handles) - 1


def start_over() -> None:
    """Forget the endpoints registered so far, for a codec that begins its message again."""
    if thread.calls.encoding:
        thread.calls.encoding = ()


def is_encoding() -> bool:
    """Return whether a message is being encoded in this thread."""
    return thread.calls.encoding is not None


def claim(slot: int, kind: Kind, owner: Owner) -> tuple[t.Any, Backend]:
    """Take the handle in a slot of the message that is being decoded; return it and its backend.

    If the rest of the message does not decode, `owner` is closed. Raises DecodeError for a slot
    that the message does not have, that holds another kind, or that was claimed before.
    """
    inbox = thread.calls.decoding
    if inbox is None or not 0 <= slot < len(inbox.slots):
        count = len(inbox.slots) if inbox else "none"
        raise DecodeError(f"the message refers to attachment {slot}, but has {count}")
    handle = inbox.slots[slot]
    if handle is None:
        raise DecodeError(f"attachment {slot} is used twice")
    if handle.kind is not kind:
        raise DecodeError(
            f"attachment {slot} is a {Kind(handle.kind).name.lower()}, "
            f"the message calls it a {kind.name.lower()}"
        )
    inbox.owners.append(owner)
    inbox.slots[slot] = None
    return handle, inbox.backend
