"""How a message says which codec wrote it: its first bytes.

A message of any codec but the default begins with a byte that begins no pickle, and the codec's
name. So two ends that disagree find out, and neither reads what the other meant otherwise.
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
_END = b"\0"
_LONGEST_NAME = 63

_COPIED = 16384
"""Up to here, in bytes, a copy costs less than what avoids it."""


def tagged(name: str, coder: Coder) -> tuple[Encode, Decode]:
    """The two directions of a coder, for messages that begin with a codec's name."""
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
    """What to tell of a message that the receiver's codec did not write."""
    theirs = writer(data)
    if theirs is None:
        wrote = "the default codec, or none," if data else "none"
    else:
        wrote = f"the codec {theirs!r}"
    return f"{wrote} wrote this message of {len(data)} bytes, but its receiver uses {mine!r}"


def writer(data: Buffer) -> str | None:
    """The name with which a message begins; None if it begins with none."""
    start = bytes(memoryview(data)[: _LONGEST_NAME + 2])
    name, end, _ = start[1:].partition(_END)
    if start[:1] != FIRST_BYTE or not end or not is_name(name.decode("latin-1")):
        return None
    return name.decode("ascii")


def is_name(name: object) -> bool:
    """Whether a codec can be called so."""
    return (
        isinstance(name, str)
        and name.isascii()
        and name.isidentifier()
        and len(name) <= _LONGEST_NAME
    )
