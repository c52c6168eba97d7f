"""How the messages of a channel are written: a codec, bound to a type, and a limit of size.

Both ends of a channel have the same format; it travels with an endpoint that is sent. A message of
any codec but the default begins with the codec's name, so that two ends that disagree find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, get_args, get_origin

from ipc_core import codecs
from ipc_core.attachable import Attachable
from ipc_core.errors import DecodeError, EncodeError
from ipc_core.message import attach
from ipc_core.spi import Backend, Buffer, Codec


class Format:
    """A codec bound to a type. `max_message` is the largest payload in bytes, or None."""

    __slots__ = ("_coder", "_tag", "codec", "decode", "encode", "max_message", "type")

    def __init__(self, codec: Codec, type: Any, max_message: int | None) -> None:
        self.codec = codec
        self.type = type
        self.max_message = max_message
        self._coder = coder = codec.bind(type, self._attach, self._redeem)
        self.encode, self.decode = coder.encode, coder.decode
        if codec is not codecs.default_codec:
            name = codec.name.encode("ascii")
            self._tag = bytes((len(name),)) + name
            self.encode, self.decode = self._encode, self._decode

    def _encode(self, obj: object) -> Buffer | Sequence[Buffer]:
        data = self._coder.encode(obj)
        if isinstance(data, bytes):
            return self._tag + data
        return [self._tag, *([data] if isinstance(data, (bytearray, memoryview)) else data)]

    def _decode(self, data: Buffer) -> Any:
        view = memoryview(data)
        size = len(self._tag)
        if view[:size] != self._tag:
            raise DecodeError(
                f"the message was written by {_writer(view)}, but this receiver uses the codec "
                f"{self.codec.name!r}"
            )
        return self._coder.decode(view[size:])

    def _attach(self, obj: object) -> int:
        """Give an endpoint or region its slot; for codecs that meet an object they do not know."""
        if not isinstance(obj, Attachable):
            raise TypeError(
                f"the codec {self.codec.name!r} cannot carry a {type(obj).__qualname__}"
            )
        theirs = getattr(obj, "_format", None)
        if theirs is not None and theirs.codec is not self.codec:
            raise EncodeError(
                f"a message of the codec {self.codec.name!r} cannot carry this "
                f"{type(obj).__name__}: its own codec is {theirs.codec.name!r}"
            )
        obj._owned()
        slot = attach(obj)
        assert slot is not None, "a codec is used only to send a message"
        return slot

    def _redeem(self, declared: Any, slot: object) -> Attachable:
        """Make the endpoint or region that a message refers to, as its type declares it."""
        kind = get_origin(declared) or declared
        if not (isinstance(kind, type) and issubclass(kind, Attachable)):
            raise TypeError(f"the codec {self.codec.name!r} cannot carry a {kind!r}")
        if type(slot) is not int:
            raise DecodeError(f"an attachment is given by its number, not by {slot!r:.60}")
        inner, *_ = get_args(declared) or (Any,)
        details = (format_for(inner, self.codec.name),) if hasattr(kind, "_format") else ()
        made = kind.__new__(kind)
        made._redeem(slot, *details)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return format_for, (self.type, self.codec.name, self.max_message)

    def __repr__(self) -> str:
        limit = "" if self.max_message is None else f", at most {self.max_message} bytes"
        return f"<{self.codec.name} of {self.type!r}{limit}>"


def _writer(data: memoryview) -> str:
    """Which codec wrote a message, as far as its first bytes tell."""
    if not data:
        return "none: it is empty"
    if data[0] in codecs.DEFAULT_FIRST_BYTES:
        return f"the codec {codecs.default_codec.name!r}"
    name = bytes(data[1 : 1 + data[0]]).decode("ascii", "replace")
    return f"the codec {name!r}" if name.isidentifier() else "something else"


class Formatted(Attachable):
    """Base of the ends of a channel for objects; such a class has a slot `_format`."""

    __slots__ = ()
    _format: Format

    def __init__(self, handle: Any, backend: Backend, format: Format | None = None) -> None:
        self._format = format or DEFAULT  # type: ignore[misc]  # the slot is a subclass's
        super().__init__(handle, backend)

    def _details(self) -> tuple[Any, ...]:
        return () if self._format is DEFAULT else (self._format,)

    def _format_to(self, type: Any) -> Format:
        """The format of an end that is made to carry `type`, or what it carries if that is None.

        Raises TypeError if that is known to be another type.
        """
        mine = self._format
        if mine is DEFAULT or type is None or mine.type == type:
            return mine
        if mine.type is not Any:
            raise TypeError(f"this channel carries {mine.type!r}, not {type!r}")
        return format_for(type, mine.codec.name, mine.max_message)


class Limited(Attachable):
    """Base of the ends of a channel for bytes; such a class has a slot `_max_message`."""

    __slots__ = ()
    _max_message: int | None

    def __init__(self, handle: Any, backend: Backend, max_message: int | None = None) -> None:
        self._max_message = checked_limit(max_message)  # type: ignore[misc]  # likewise
        super().__init__(handle, backend)

    def _details(self) -> tuple[Any, ...]:
        return () if self._max_message is None else (self._max_message,)


def checked_limit(max_message: int | None) -> int | None:
    """Return it. Raises ValueError for a limit below 1."""
    if max_message is not None and max_message < 1:
        raise ValueError(f"max_message must be at least 1 byte, not {max_message}")
    return max_message


DEFAULT = Format(codecs.default_codec, Any, None)


def format_for(
    type: Any = None, codec: str | None = None, max_message: int | None = None
) -> Format:
    """Return the format of a codec, found by its name, for a type.

    Raises ValueError for a limit below 1, NotSupportedError for a codec that is not installed, and
    what the codec raises for a type that it cannot carry.
    """
    if codec in (None, codecs.default_codec.name) and max_message is None:
        return DEFAULT
    try:
        return _cached(type, codec, max_message)
    except TypeError:  # a type without a hash
        return _make(type, codec, max_message)


def _make(type: Any, codec: str | None, max_message: int | None) -> Format:
    found = codecs.find(codec or codecs.default_codec.name)
    return Format(found, Any if type is None else type, checked_limit(max_message))


_cached = lru_cache(maxsize=256)(_make)
