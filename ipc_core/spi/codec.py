"""The contract between a channel and a codec."""

from __future__ import annotations

from collections.abc import Sequence

import ipc_core._typing as t
from ipc_core.spi.handles import Buffer, Kind

CODECS_GROUP = "ipc_core.codecs"

Reference = int | list[int]
"""The stand-in of an endpoint or region in a message: a number, or a list of numbers, each at
least 0."""


class Coder(t.Protocol):
    """A codec bound to one type. Used from any thread, also by a message inside a message."""

    def encode(self, obj: t.Any) -> Buffer | Sequence[Buffer]:
        """Turn an object into bytes; several buffers are one payload. They are only read, and not
        kept.

        Any exception but an IpcError and MemoryError becomes an EncodeError.
        """

    def decode(self, data: Buffer) -> t.Any:
        """Turn bytes into an object, which may keep views of `data`. Any exception but an
        IpcIOError and MemoryError becomes a DecodeError."""


class Attach(t.Protocol):
    """Gives an endpoint or region a place in the message that is being encoded."""

    def __call__(self, obj: object, declared: Sequence[t.Any] | None = None, /) -> Reference:
        """Return the reference to write in its place.

        `declared` are the classes of endpoints that the codec's type has room for, such as
        `IpcSender[Reply]`; None if there is no telling. Raises TypeError for an object that is no
        endpoint or region, EncodeError for one that is not declared or whose channel has another
        codec, ClosedError or MovedError for one that is gone.
        """

    def start_over(self) -> None:
        """Forget the objects attached so far, for a codec that begins its message again."""


class Redeem(t.Protocol):
    """Gives back the endpoint or region that a message being decoded refers to."""

    def __call__(self, declared: t.Any, reference: t.Any, /) -> t.Any:
        """Return it as an object of the declared class: `IpcSender[Reply]` is a sender with this
        codec, bound to Reply.

        Raises DecodeError for a reference that does not fit the message or the class, or was
        redeemed before.
        """


class Codec(t.Protocol):
    """A way to turn objects into bytes. Found by its name in the entry-point group
    `ipc_core.codecs`, where the reference leads to such an object.

    `name` is an ASCII identifier of at most 63 characters. `runs_code` says whether a peer's
    message decides which code runs, as with pickle; payloads for other codecs are copied out of
    memory that the peer can still write.
    """

    name: str
    runs_code: bool

    def bind(self, type: t.Any, attach: Attach, redeem: Redeem) -> Coder:
        """Return a coder for a type, typing.Any if the user gave none.

        The coder calls `attach(obj)` for each object that it meets and does not know, and writes
        the returned reference in its place; the receiver gives it to `redeem`. Raises TypeError
        for a type that the codec cannot carry, and NotSupportedError, naming the package to
        install, if it cannot work here.
        """


def is_attachable(declared: object) -> bool:
    """Return whether a type is a class of endpoints or regions, such as `IpcSender[Reply]`."""
    from typing import get_origin

    kind = get_origin(declared) or declared
    return isinstance(kind, type) and isinstance(getattr(kind, "_kind", None), Kind)
