"""The format of a channel's messages: a codec bound to a type, and a limit of size.

Both ends of a channel have the same format; it travels with an endpoint that is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import ipc_core._typing as t
from ipc_core import codecs
from ipc_core.codecs import tags
from ipc_core.messages import transfer
from ipc_core.messages.attachable import Attachable
from ipc_core.spi import Backend, Codec, Payload, Reference, is_attachable
from ipc_core.spi.errors import DecodeError, EncodeError
from ipc_core.spi.handles import Buffers


class Format:
    """A codec bound to a type. `max_message` is the largest payload in bytes, or None.

    `to_payload` and `from_payload` are its coder's `encode` and `decode`, with the codec's name in
    front unless it is the default codec.
    """

    __slots__ = ("codec", "from_payload", "max_message", "to_payload", "type")

    def __init__(self, codec: Codec, type: t.Any) -> None:
        self.codec = codec
        self.type = type
        self.max_message: int | None = None
        coder = codec.bind(type, _Attach(self), self._redeem)
        self.to_payload: tags.Encode = coder.encode
        self.from_payload: tags.Decode = coder.decode
        if codec is not codecs.default_codec:
            self.to_payload, self.from_payload = tags.tagged(codec.name, coder)

    def limited(self, max_message: int | None) -> Format:
        """Return this format with another limit. Not cached: peers choose their ends' limits."""
        if max_message is None:
            return self
        made = Format.__new__(Format)
        made.codec, made.type, made.max_message = self.codec, self.type, max_message
        made.to_payload, made.from_payload = self.to_payload, self.from_payload
        return made

    def misread(self, payload: Payload, error: Exception) -> str:
        """Return why a message did not decode; that another codec wrote it, where that shows."""
        mine = self.codec.name
        if isinstance(payload, Buffers) and tags.codec_name(payload) not in (None, mine):
            return tags.disagreement(payload, mine)
        return f"cannot decode a message of {len(payload)} bytes: {error}"

    def _redeem(self, declared: t.Any, reference: object) -> Attachable:
        """Make the endpoint or region that a message refers to, as its type declares it."""
        from typing import Any, get_args, get_origin

        if not is_attachable(declared):
            raise TypeError(f"the codec {self.codec.name!r} cannot carry a {declared!r}")
        slot, limit = _parsed(reference)
        kind = get_origin(declared) or declared
        made: Attachable = kind.__new__(kind)
        if isinstance(made, ObjectEnd):
            inner, *_ = get_args(declared) or (Any,)
            made.__setstate__((slot, format_for(inner, self.codec.name, limit)))
        elif isinstance(made, BytesEnd):
            made.__setstate__((slot, limit))
        else:
            made.__setstate__(slot)
        return made

    def __reduce__(self) -> tuple[t.Any, ...]:
        if transfer.is_encoding() and _is_of_main(self.type):
            raise EncodeError(
                f"an end of a channel of {self.type!r} cannot be sent: the receiver's main program "
                "is another one; define the class in a module that both import"
            )
        return format_for, (self.type, self.codec.name, self.max_message)

    def __repr__(self) -> str:
        limit = "" if self.max_message is None else f", at most {self.max_message} bytes"
        return f"<{self.codec.name} of {self.type!r}{limit}>"


class _Attach:
    """See spi.Attach: gives endpoints and regions their slots in messages of one format."""

    __slots__ = ("_format",)

    start_over = staticmethod(transfer.start_over)

    def __init__(self, format: Format) -> None:
        self._format = format

    def __call__(self, obj: object, declared: Sequence[t.Any] | None = None) -> Reference:
        mine = self._format
        if not isinstance(obj, Attachable):
            raise TypeError(
                f"the codec {mine.codec.name!r} cannot carry a {type(obj).__qualname__}"
            )
        theirs = obj._format if isinstance(obj, ObjectEnd) else None
        if theirs is not None and theirs.codec is not mine.codec:
            raise EncodeError(
                f"a message of the codec {mine.codec.name!r} cannot carry this "
                f"{type(obj).__name__}: its own codec is {theirs.codec.name!r}"
            )
        if declared is not None and not any(_fits(obj, theirs, each) for each in declared):
            carries = "" if theirs is None else f" of {theirs.type!r}"
            raise EncodeError(
                f"{mine.type!r} declares no {type(obj).__name__}{carries}; it declares "
                f"{', '.join(map(repr, declared)) or 'no endpoint or region'}"
            )
        slot = transfer.register(obj, obj._owned())
        assert slot is not None, "a codec is used only to send a message"
        limit = _limit(obj)
        return slot if limit is None else [slot, limit]


class ObjectEnd(Attachable):
    """Base of the ends of a channel for objects; such a class has a slot `_format`."""

    __slots__ = ()
    _format: Format

    def __init__(self, handle: t.Any, backend: Backend, format: Format | None = None) -> None:
        self._format = format or DEFAULT  # type: ignore[misc]  # the slot is a subclass's
        super().__init__(handle, backend)

    def _details(self) -> tuple[t.Any, ...]:
        return () if self._format is DEFAULT else (self._format,)

    def _format_to(self, type: t.Any) -> Format:
        """Return the format of an end that is made to carry `type`; its present one for None.

        Raises TypeError if that is known to be another type.
        """
        mine = self._format
        if mine.codec is codecs.default_codec or type is None or mine.type == type:
            return mine
        from typing import Any

        if mine.type is not Any:
            raise TypeError(f"this channel carries {mine.type!r}, not {type!r}")
        return format_for(type, mine.codec.name, mine.max_message)


class BytesEnd(Attachable):
    """Base of the ends of a channel for bytes; such a class has a slot `_max_message`."""

    __slots__ = ()
    _max_message: int | None

    def __init__(self, handle: t.Any, backend: Backend, max_message: int | None = None) -> None:
        self._max_message = checked_limit(max_message)  # type: ignore[misc]  # likewise
        super().__init__(handle, backend)

    def _details(self) -> tuple[t.Any, ...]:
        return () if self._max_message is None else (self._max_message,)


def _is_of_main(type: t.Any) -> bool:
    from typing import get_args

    module = getattr(type, "__module__", None)
    return module == "__main__" or any(map(_is_of_main, get_args(type)))


def _limit(obj: Attachable) -> int | None:
    if isinstance(obj, ObjectEnd):
        return obj._format.max_message
    return obj._max_message if isinstance(obj, BytesEnd) else None


def _fits(obj: Attachable, format: Format | None, declared: t.Any) -> bool:
    """Return whether a type declares an object. A format left open, on either side, fits all."""
    from typing import Any, get_args, get_origin

    if not isinstance(obj, get_origin(declared) or declared):
        return False
    inner, *_ = get_args(declared) or (Any,)
    return format is None or inner in (Any, format.type) or format.type is Any


def _parsed(reference: t.Any) -> tuple[int, int | None]:
    """Return the slot and the limit in a message's reference to an endpoint or region."""
    slot, limit = (
        reference if type(reference) is list and len(reference) == 2 else (reference, None)
    )
    try:
        if type(slot) is int:
            return slot, checked_limit(limit)
    except ValueError:
        pass
    raise DecodeError(
        "the message's reference to an attachment is neither a number nor a number with a limit"
    )


def checked_limit(max_message: object) -> int | None:
    """Return a limit. Raises ValueError unless it is None or a number of bytes, at least 1."""
    if max_message is None or (type(max_message) is int and max_message >= 1):
        return max_message
    raise ValueError(
        f"max_message must be a number of bytes, at least 1, or None, not {max_message!r}"
    )


DEFAULT = Format(codecs.default_codec, object)


def format_for(
    type: t.Any = None, codec: str | None = None, max_message: int | None = None
) -> Format:
    """Return the format of a codec, found by its name, for a type.

    Raises ValueError for a limit below 1, NotSupportedError for a codec that is not installed, and
    the codec's own error for a type that it cannot carry.
    """
    limit = checked_limit(max_message)
    if codec in (None, codecs.default_codec.name):
        return DEFAULT.limited(limit)  # it carries everything
    from typing import Any

    carried = Any if type is None else type
    try:
        hash(carried)
    except TypeError:
        return _bind(carried, codec).limited(limit)
    return _cached(carried, codec).limited(limit)


def _bind(type: t.Any, codec: t.Any) -> Format:
    return Format(codecs.find(codec), type)


_cached = lru_cache(maxsize=256)(_bind)
