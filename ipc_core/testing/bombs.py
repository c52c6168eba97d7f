"""Payloads that run code in a receiver that unpickles them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

exploded: list[object] = []
"""The bombs that went off since this list was last cleared."""


def explode(how: object) -> object:
    exploded.append(how)
    return how


class Bomb:
    """An object that calls `explode` when it is unpickled."""

    def __init__(self, how: object) -> None:
        self._how = how

    def __reduce__(self) -> tuple[Any, ...]:
        return explode, (self._how,)


def pickles() -> Iterator[bytes]:
    """Pickles that explode, of every protocol and in several manners."""
    for protocol in range(6):
        yield pickle.dumps(Bomb(protocol), protocol)
    yield b"cipc_core.testing.bombs\nexplode\n(S'by name'\ntR."
    yield b"(S'as an instance'\nicollections\nOrderedDict\n0" + pickle.dumps(Bomb("after it"))
    yield pickle.dumps({"items": [], "note": Bomb("inside")})


def wrapped(codec: str) -> Iterator[bytes]:
    """The same as messages: as they are, as the default codec writes them with buffers beside
    them, and after the names of codecs."""
    for each in pickles():
        yield each
        yield bytes(8) + len(each).to_bytes(8, "little") + each
        for name in (codec, "pickle", "dill"):
            yield b"\x01" + name.encode() + b"\0" + each
