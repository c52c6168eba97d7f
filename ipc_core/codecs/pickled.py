"""The default codec: C pickle, and slower picklers that carry more where C pickle gives up.

A message is pickled by C alone at first. It is pickled again, with functions and classes by value,
if C pickle raises, or if its output refers to `__main__` by name. Where that raises too, dill has a
try. Each attempt starts from nothing, so endpoints met by the one before lose their slots.

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

# The module name of a class or function, as protocol 4 and later write and memoize it. C pickle
# refers to things of __main__ by name, but the receiver's __main__ is another program. It never
# divides these bytes between two chunks.
_FROM_MAIN = b"\x8c\x08__main__\x94"

_BY_NAME = 0x93
"""STACK_GLOBAL, the opcode of such a reference. Most data has no such byte: a quick first test."""

# The errors of C pickle for lambdas, closures, local classes and other things without a name.
_GIVES_UP = (PicklingError, AttributeError, TypeError)

_OWN_BYTES = 1 << 17
"""The size, in bytes, above which a chunk is one large object, or a frame around a huge number."""

_FRAME = (0x80, 0x95)
"""The first bytes of chunks in which a pickler gathered small objects."""


def unpickle(data: Buffer) -> Any:
    """Return the object in a payload of `PickleCoder.encode`. See Coder.decode."""
    try:
        return loads(data)
    except UnpicklingError:  # no pickle begins with FIRST_BYTE
        if not data or data[0] != FIRST_BYTE:
            raise
    stream, buffers = split(data)
    return loads(stream, buffers=buffers)


def refuse(data: Buffer) -> NoReturn:
    """Refuse to decode, where IPC_CORE_SAFE is set. Raises DecodeError."""
    raise DecodeError(
        f"{SAFE_VARIABLE} is set, and a message of the codec 'pickle' can run code: use a typed "
        "codec or bytes_channel()"
    )


class PickleCodec:
    """The codec `pickle`: carries all that dill can, at C pickle's speed where that suffices."""

    name = "pickle"
    runs_code = True

    def bind(self, type: Any, attach: Attach, redeem: object) -> PickleCoder:
        """Return a coder, or one that refuses to decode where IPC_CORE_SAFE is set.

        The type is only for type checkers. Endpoints pickle by themselves, as their slots.
        """
        safe = os.environ.get(SAFE_VARIABLE, "0") not in ("", "0")
        return (_SafeCoder if safe else PickleCoder)(attach)


class PickleCoder:
    """The coder of the default codec, for any type; see Coder."""

    __slots__ = ("_attach",)

    def __init__(self, attach: Attach) -> None:
        self._attach = attach

    decode = staticmethod(unpickle)

    def encode(self, obj: object) -> Buffer | Sequence[Buffer]:
        """Return a pickle, in one buffer or in several that hold it together. See Coder.encode."""
        try:
            spare = _spares.pop()
        except IndexError:
            spare = _make_spare()
        dump, forget, chunks, buffers = spare
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
        _spares.append(spare)
        if _BY_NAME not in data or data.find(_FROM_MAIN) < 0:
            return data
        return self._by_value(obj)

    def _by_value(self, obj: object) -> Buffer | Sequence[Buffer]:
        """Pickle functions and classes by value, with dill where the C pickler gives up again."""
        from ipc_core.codecs.by_value import CPickler

        self._attach.start_over()
        chunks: list[bytes] = []
        buffers: list[memoryview] = []
        try:
            CPickler(_Sink(chunks.append), PROTOCOL, buffer_callback=_keep_large(buffers)).dump(obj)
        except _GIVES_UP:
            self._attach.start_over()
            return _pickle_by_dill(obj)
        if buffers:
            return join(chunks, buffers)
        return chunks if len(chunks) > 1 else chunks[0]


class _SafeCoder(PickleCoder):
    __slots__ = ()

    decode = staticmethod(refuse)


# A pickler between two messages: its methods `dump` and `clear_memo`, and the two lists that it
# fills. The first takes the chunks of the pickle, where large bytes and strings are chunks of their
# own, not copied; the second takes the buffers that go beside the pickle. A pickler that wrote
# several chunks, or buffers, is dropped: its tables have grown.
_Spare = tuple[
    Callable[[object], object],
    Callable[[], object],
    "list[bytes]",
    "list[memoryview]",
]
_spares: list[_Spare] = []


class _Sink:
    """A file for a pickler, of which only `write` is called."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def _make_spare() -> _Spare:
    chunks: list[bytes] = []
    buffers: list[memoryview] = []
    pickler = Pickler(_Sink(chunks.append), PROTOCOL, buffer_callback=_keep_large(buffers))
    pickler.dispatch_table = TABLE
    return pickler.dump, pickler.clear_memo, chunks, buffers


def _keep_large(buffers: list[memoryview]) -> Callable[[PickleBuffer], bool]:
    """Return a buffer callback that leaves small buffers in the pickle and collects the others."""

    def is_inline(buffer: PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LEAST:
            return True
        buffers.append(raw)
        return False

    return is_inline


def _mentions_main(chunk: bytes) -> bool:
    """Whether a chunk made of small objects refers to `__main__` by name."""
    return (len(chunk) <= _OWN_BYTES or chunk[0] in _FRAME) and chunk.find(_FROM_MAIN) >= 0


def _pickle_by_dill(obj: object) -> Buffer | Sequence[Buffer]:
    """Pickle with dill's reductions too. Raises EncodeError, with the path to the culprit."""
    from ipc_core.codecs.dilled import DillPickler

    stream = io.BytesIO()  # this pickler's chunks are valid during `write` only
    buffers: list[memoryview] = []
    pickler = DillPickler(stream, PROTOCOL, _keep_large(buffers))
    try:
        pickler.dump(obj)
    except _GIVES_UP as error:
        from ipc_core.codecs.blame import describe_path

        raise EncodeError(f"{describe_path(pickler.path)}: {error}") from error
    return join([stream.getvalue()], buffers) if buffers else stream.getvalue()
