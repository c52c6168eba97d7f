"""The payload of a pickle with buffers beside it.

It is a head with the sizes, the pickle, and the buffers, which a receiver uses in place. Each
buffer begins at a multiple of 64 bytes, as do the arrays that NumPy makes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ipc_core.spi import Buffer, DecodeError

FIRST_BYTE = 0
"""The first byte of such a payload, with which no pickle begins."""
LEAST = 16384
"""The size in bytes of the smallest buffer that lies beside a pickle, not in it."""

_ALIGNED = 64
_HEAD = struct.Struct("<BxxxIQ")  # first byte, number of buffers, size of the pickle


def join(chunks: Sequence[bytes], buffers: Sequence[memoryview]) -> list[Buffer]:
    """Return the payload in pieces, of which no chunk and no buffer is a copy."""
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
    """Return the pickle and the buffers, writable unless `data` is read-only memory.

    `bytes` are copied to be writable. Raises DecodeError for sizes that do not fit, before
    anything is copied.
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
    """Return the lengths of the buffers, and the offsets of the pickle's beginning and end.

    Raises DecodeError for sizes that do not fit the message.
    """
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
        if length < LEAST:  # else the views could take much more memory than the message
            raise DecodeError(f"a buffer of {length} bytes does not lie beside a pickle")
        last += -last % _ALIGNED + length
    if last > total:
        raise DecodeError(f"buffers up to byte {last} do not fit a message of {total}")
    return lengths, begin, end
