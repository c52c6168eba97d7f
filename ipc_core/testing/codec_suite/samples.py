"""The objects that codecs are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipc_core.messages.format import Format
from ipc_core.spi import Buffer, Codec

Samples = Sequence[tuple[Any, Any]]

_VALUES: list[Any] = [
    None,
    True,
    -(2**53),
    0.1,
    "",
    "caf\u00e9 \u8336 \U0001f600 \0",
    [],
    {},
    [None, [False, {"a": [1, 2.5, "x"]}], {}],
    {"": 0, "key": {"nested": [{"deeper": None}]}},
    ["x" * 100_000, list(range(20_000))],
]

PLAIN: Samples = [(Any, value) for value in _VALUES]
"""Pairs of a type and an object that most codecs carry."""


class Unknown:
    """An object of a class that no codec carries, not even pickle."""

    def __reduce__(self) -> str:
        raise TypeError("this one does not pickle")


def bound(codec: Codec, type: Any = Any) -> Format:
    return Format(codec, type)


def joined(data: Any) -> bytes:
    """Join the pieces that a coder's `encode` returned."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    return b"".join(data)


def kinds_of_buffer(data: bytes) -> list[Buffer]:
    return [data, bytearray(data), memoryview(data), memoryview(bytearray(b"." + data))[1:]]
