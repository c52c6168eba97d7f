"""The default codec: C pickle, and what carries more where C pickle gives up.

Unpickling runs code, so this codec is for processes that trust each other.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence

from ipc_core.codecs.buffers import TABLE
from ipc_core.codecs.cpickle import PickleBuffer, Pickler, PicklingError, UnpicklingError, loads
from ipc_core.codecs.framed import FIRST_BYTE, LEAST, join, split
from ipc_core.spi import Attach, Buffer, DecodeError, EncodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


SAFE_VARIABLE = "IPC_CORE_SAFE"
PROTOCOL = 5

# How protocol 4 and later write the module name of a class or function, and memoize it. C pickle
# refers to things of __main__ by name, but the receiver's __main__ is another program. It never
# divides these bytes between two chunks.
_FROM_MAIN = b"\x8c\x08__main__\x94"

_BY_NAME = 0x93
"""STACK_GLOBAL, the opcode of such a reference; most data has no such byte, which is found fast."""

# What C pickle raises for lambdas, closures, local classes and other things without a name.
_GIVES_UP = (PicklingError, AttributeError, TypeError)

_OWN_BYTES = 1 << 17
"""A longer chunk is one large object, or a frame around a huge number: bytes."""

_FRAME = (0x80, 0x95)
"""How a chunk begins that a pickler made of small objects."""


def decode(data: Buffer) -> Any:
    try:
        return loads(data)
    except UnpicklingError:
        if not data or data[0] != FIRST_BYTE:
            raise
    stream, buffers = split(data)
    return loads(stream, buffers=buffers)


def refuse(data: Buffer) -> NoReturn:
    """What decodes where IPC_CORE_SAFE is set."""
    raise DecodeError(
        f"{SAFE_VARIABLE} is set, and a message of the codec 'pickle' can run code: use a typed "
        "codec or bytes_channel()"
    )


class PickleCodec:
    """Anything that dill can pickle, at C pickle's speed where C pickle will do."""

    name = "pickle"
    runs_code = True

    def bind(self, type: Any, attach: Attach, redeem: object) -> PickleCoder:
        """The type is only for type checkers. Endpoints pickle by themselves."""
        safe = os.environ.get(SAFE_VARIABLE, "0") not in ("", "0")
        return (_SafeCoder if safe else PickleCoder)(attach)


class PickleCoder:
    """See spi.Coder. An object may be pickled up to three times, each time in another way."""

    __slots__ = ("_attach",)

    def __init__(self, attach: Attach) -> None:
        self._attach = attach

    decode = staticmethod(decode)

    def encode(self, obj: object) -> Buffer | Sequence[Buffer]:
        try:
            writer = _writers.pop()
        except IndexError:
            writer = _make_writer()
        dump, forget, chunks, buffers = writer
        try:
            dump(obj)
        except _GIVES_UP:
            return self._by_value(obj)
        data = chunks.pop()
        if chunks or buffers:
            chunks.append(data)
            if any(_mentions_main(chunk) for chunk in chunks):
                return self._by_value(obj)
            return join(chunks, buffers) if buffers else chunks
        forget()
        _writers.append(writer)
        if _BY_NAME not in data or data.find(_FROM_MAIN) < 0:
            return data
        return self._by_value(obj)

    def _by_value(self, obj: object) -> Buffer | Sequence[Buffer]:
        """Pickle with reductions of our own what C pickle alone cannot carry, or with dill's."""
        from ipc_core.codecs.by_value import CPickler

        self._attach.start_over()
        chunks: list[bytes] = []
        buffers: list[memoryview] = []
        try:
            CPickler(_Sink(chunks.append), PROTOCOL, buffer_callback=_beside(buffers)).dump(obj)
        except _GIVES_UP:
            self._attach.start_over()
            return _by_dill(obj)
        if buffers:
            return join(chunks, buffers)
        return chunks if len(chunks) > 1 else chunks[0]


class _SafeCoder(PickleCoder):
    __slots__ = ()
    decode = staticmethod(refuse)


# The methods of a pickler that may be used again, and what it writes to: the chunks, of which large
# bytes and strings are some of their own, not copied; and what goes beside the pickle. A pickler
# that wrote several chunks is dropped: its tables have grown.
_Writer = tuple[
    Callable[[object], object],
    Callable[[], object],
    "list[bytes]",
    "list[memoryview]",
]
_writers: list[_Writer] = []


class _Sink:
    """What a pickler writes to."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def _make_writer() -> _Writer:
    chunks: list[bytes] = []
    buffers: list[memoryview] = []
    pickler = Pickler(_Sink(chunks.append), PROTOCOL, buffer_callback=_beside(buffers))
    pickler.dispatch_table = TABLE
    return pickler.dump, pickler.clear_memo, chunks, buffers


def _beside(buffers: list[memoryview]) -> Callable[[PickleBuffer], bool]:
    """What decides for a pickler which buffers it writes itself, and collects the others."""

    def is_in_line(buffer: PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LEAST:
            return True
        buffers.append(raw)
        return False

    return is_in_line


def _mentions_main(chunk: bytes) -> bool:
    return (len(chunk) <= _OWN_BYTES or chunk[0] in _FRAME) and chunk.find(_FROM_MAIN) >= 0


def _by_dill(obj: object) -> Buffer | Sequence[Buffer]:
    from ipc_core.codecs.dilled import DillPickler

    stream = io.BytesIO()  # this pickler lends its chunks for a moment only
    buffers: list[memoryview] = []
    pickler = DillPickler(stream, PROTOCOL, _beside(buffers))
    try:
        pickler.dump(obj)
    except _GIVES_UP as error:
        from ipc_core.codecs.blame import place

        raise EncodeError(f"{place(pickler.path)}: {error}") from error
    return join([stream.getvalue()], buffers) if buffers else stream.getvalue()
