"""The default codec: C pickle, and dill for what C pickle cannot carry faithfully.

Unpickling runs code, so this codec is for processes that trust each other.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from ipc_core.codecs.framed import FIRST_BYTE, LEAST, join, split
from ipc_core.message import start_over
from ipc_core.spi import Buffer

PROTOCOL = 5
FIRST_BYTES = (0x80, FIRST_BYTE)
"""A pickle's own, and that of one with buffers beside it."""

# How protocol 4 and later write the module name of a class or function, and memoize it. C pickle
# refers to things of __main__ by name, but the receiver's __main__ is another program.
_FROM_MAIN = b"\x8c\x08__main__\x94"

# What C pickle raises for lambdas, closures, local classes and other things without a name.
_GIVES_UP = (pickle.PicklingError, AttributeError, TypeError)

_KEPT = 1 << 16
"""A pickler that wrote more is not used again: its tables have grown. Bytes."""


class PickleCodec:
    """Anything that dill can pickle, at C pickle's speed where C pickle will do."""

    name = "pickle"
    runs_code = True

    def bind(self, type: Any, attach: object, redeem: object) -> PickleCodec:
        """The type is only for type checkers. Endpoints pickle by themselves."""
        return self

    def encode(self, obj: object) -> Buffer | Sequence[Buffer]:
        try:
            writer = _writers.pop()
        except IndexError:
            writer = _Writer()
        chunks, buffers = writer.chunks, writer.buffers
        try:
            writer.dump(obj)
        except _GIVES_UP:
            return _by_dill(obj)
        if len(chunks) == 1 and not buffers and len(chunks[0]) <= _KEPT:
            data = chunks.pop()
            writer.clear_memo()
            _writers.append(writer)
            return data if _FROM_MAIN not in data else _by_dill(obj)
        if any(_FROM_MAIN in chunk for chunk in chunks if len(chunk) <= 2 * _KEPT):
            return _by_dill(obj)
        return join(chunks, buffers) if buffers else chunks

    def decode(self, data: Buffer) -> Any:
        if data and data[0] == FIRST_BYTE:
            stream, buffers = split(data)
            return pickle.loads(stream, buffers=buffers)
        return pickle.loads(data)


class _Writer:
    """A pickler, which may be used again, and what it wrote.

    Large bytes and strings are chunks of their own, not copied; `buffers` are those that go beside
    the pickle.
    """

    __slots__ = ("buffers", "chunks", "clear_memo", "dump", "write")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.buffers: list[memoryview] = []
        self.write = self.chunks.append
        pickler = pickle.Pickler(self, PROTOCOL, buffer_callback=_beside(self.buffers))
        self.dump, self.clear_memo = pickler.dump, pickler.clear_memo


_writers: list[_Writer] = []


def _beside(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """What decides for a pickler which buffers it writes itself, and collects the others."""

    def is_in_line(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LEAST:
            return True
        buffers.append(raw)
        return False

    return is_in_line


def _by_dill(obj: object) -> Buffer | Sequence[Buffer]:
    import dill

    start_over()
    stream = io.BytesIO()
    buffers: list[memoryview] = []
    dill.Pickler(
        stream, PROTOCOL, buffer_callback=_beside(buffers), byref=False, recurse=True
    ).dump(obj)
    return join([stream.getvalue()], buffers) if buffers else stream.getvalue()
