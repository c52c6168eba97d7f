"""Tags: the first bytes of a message, which name the codec that wrote it.

A message of any codec but the default begins with a byte that begins no pickle, and the codec's
name. So a mismatch of the two ends is detected instead of being misread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipc_core.spi import Buffer, Coder, DecodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Encode = Callable[[Any], Buffer | Sequence[Buffer]]
    Decode = Callable[[Buffer], Any]

FIRST_BYTE = b"\x01"
"""The first byte of a tag, with which no pickle begins."""
_END = b"\0"
_LONGEST_NAME = 63

_COPIED = 16384
"""The size in bytes up to which a copy costs less than a second buffer or a view."""


def tagged(name: str, coder: Coder) -> tuple[Encode, Decode]:
    """Return a coder's `encode` and `decode`, for messages that begin with a codec's name."""
    tag = FIRST_BYTE + name.encode("ascii") + _END
    size = len(tag)
    encode, decode = coder.encode, coder.decode

    def encode_tagged(obj: Any) -> Buffer | Sequence[Buffer]:
        data = encode(obj)
        if type(data) is bytes:
            return tag + data if len(data) <= _COPIED else (tag, data)
        return (tag, data) if isinstance(data, (bytes, bytearray, memoryview)) else (tag, *data)

    def decode_tagged(data: Buffer) -> Any:
        if type(data) is bytes and len(data) <= _COPIED:
            rest = data.removeprefix(tag)
            if rest is not data:
                return decode(rest)
        else:
            view = memoryview(data)
            if view[:size] == tag:
                return decode(view[size:])
        raise DecodeError(disagreement(data, name))

    return encode_tagged, decode_tagged


def disagreement(data: Buffer, mine: str) -> str:
    """Describe a message that was not written by the receiver's codec, `mine`, for an error."""
    theirs = codec_name(data)
    if theirs is None:
        wrote = "the default codec, or none," if data else "none"
    else:
        wrote = f"the codec {theirs!r}"
    return f"{wrote} wrote this message of {len(data)} bytes, but its receiver uses {mine!r}"


def codec_name(data: Buffer) -> str | None:
    """Return the name of the codec that wrote a message; None if the message has no tag."""
    start = bytes(memoryview(data)[: _LONGEST_NAME + 2])
    name, end, _ = start[1:].partition(_END)
    if start[:1] != FIRST_BYTE or not end or not is_name(name.decode("latin-1")):
        return None
    return name.decode("ascii")


def is_name(name: object) -> bool:
    """Whether a codec can have this name."""
    return (
        isinstance(name, str)
        and name.isascii()
        and name.isidentifier()
        and len(name) <= _LONGEST_NAME
    )
