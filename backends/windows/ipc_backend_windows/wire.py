"""Where things are in the memory of a channel.

A channel's section begins with the control block; records follow, and go on in further segments,
each a section of its own. A record is a header, entries for handles, and the payload; the last
record of a segment that is full is a link to the next one.

All handles in entries, and those of segments, are in the table of the channel's home: the
process that has the receiver.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SECTION = 1 << 16
"""Bytes of a channel's own section."""
SEGMENT = 1 << 20
"""Bytes of further segments; more for a record that is larger."""
INLINE = 1 << 17
"""Payloads up to this many bytes are in their record, larger ones in a section of their own."""

MAGIC = 0x31435049

# magic, 1 if the receiver waits for the pipe, 1 if it is closed, 1 if processes share it
FLAGS = struct.Struct("<IIII")
ARMED = 4
CLOSED = 8
SHARED = 12
HOME = struct.Struct("<QQ")
HOME_AT = 16
# For reading and for writing: the segment's serial, offset, size, and handle.
POSITION = struct.Struct("<QQQQ")
READING_AT = 32
WRITING_AT = 64
POSITIONS = struct.Struct("<QQQQQQQQ")
# What a sender is about to append: the record's offset, and a segment that is not linked yet.
PENDING_AT = 96
PENDING_SEGMENT_AT = 104
SERIAL_AT = 112
# The identity of the channel in whose queue the receiver is, if it is in one.
CONTAINER_AT = 120
START = 136

WORD = struct.Struct("<Q")
FLAG = struct.Struct("<I")

# size of all, kind, number of entries, size of the payload
HEADER = struct.Struct("<QIIQ")
# kind, 0, a number, two handles, the channel's identity
ENTRY = struct.Struct("<IIQQQ16s")
FIRST_HANDLE = 16
SECOND_HANDLE = 24

MESSAGE = 1
LINK = 2
LINK_SIZE = HEADER.size + ENTRY.size

SEGMENT_ENTRY = 100
PAYLOAD_ENTRY = 101


class Entry(NamedTuple):
    """A handle or two that travel, and what they are. `identity` is that of a channel."""

    kind: int
    number: int
    first: int
    second: int
    identity: bytes


def record_size(entries: int, payload: int) -> int:
    return (HEADER.size + entries * ENTRY.size + payload + 7) & ~7


def entry_at(data: memoryview, offset: int) -> Entry:
    kind, _, number, first, second, identity = ENTRY.unpack_from(data, offset)
    return Entry(kind, number, first, second, identity)
