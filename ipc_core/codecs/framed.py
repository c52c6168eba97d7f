"""A payload of a pickle and of buffers that lie beside it.

It begins with the sizes, so that a receiver can use the buffers where they are. Each begins at a
multiple of 64 bytes, as do the arrays that NumPy makes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ipc_core.spi import Buffer, DecodeError

FIRST_BYTE = 0
LEAST = 16384
"""A smaller buffer is copied into the pickle: bytes."""

_ALIGNED = 64
_HEAD = struct.Struct("<BxxxIQ")  # first byte, number of buffers, size of the pickle


def join(chunks: Sequence[bytes], buffers: Sequence[memoryview]) -> list[Buffer]:
    """The payload, in pieces that are not copied."""
    size = sum(map(len, chunks))
    sizes = [buffer.nbytes for buffer in buffers]
    head = _HEAD.pack(FIRST_BYTE, len(buffers), size) + struct.pack(f"<{len(sizes)}Q", *sizes)
    parts: list[Buffer] = [head, *chunks]
    end = len(head) + size
    for buffer in buffers:
        if end % _ALIGNED:
            parts.append(bytes(-end % _ALIGNED))
        parts.append(buffer)
        end += -end % _ALIGNED + buffer.nbytes
    return parts


def split(data: Buffer) -> tuple[memoryview, list[memoryview]]:
    """The pickle and the buffers, which are writable. Bytes are copied for that.

    Raises DecodeError for sizes that do not fit, before anything is copied.
    """
    lengths, begin, end = _measured(data)
    view = memoryview(data if not isinstance(data, bytes) else bytearray(data))
    stream = view[begin:end]
    buffers = []
    for length in lengths:
        end += -end % _ALIGNED
        buffers.append(view[end : end + length])
        end += length
    return stream, buffers


def _measured(data: Buffer) -> tuple[tuple[int, ...], int, int]:
    """The lengths of the buffers, and where the pickle begins and ends."""
    total = len(data)
    if total < _HEAD.size:
        raise DecodeError("a message with buffers is too short for its head")
    _, count, size = _HEAD.unpack_from(data)
    begin = _HEAD.size + 8 * count
    end = begin + size
    if count * LEAST > total:
        raise DecodeError(f"{count} buffers do not fit a message of {total} bytes")
    if end > total:
        raise DecodeError(f"a pickle of {size} bytes does not fit a message of {total}")
    lengths = struct.unpack_from(f"<{count}Q", data, _HEAD.size)
    last = end
    for length in lengths:
        if length < LEAST:  # or the views alone could take much more memory than the message
            raise DecodeError(f"a buffer of {length} bytes does not lie beside a pickle")
        last += -last % _ALIGNED + length
    if last > total:
        raise DecodeError(f"buffers up to byte {last} do not fit a message of {total}")
    return lengths, begin, end
