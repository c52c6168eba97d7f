"""The layout of a channel's memory: the control block, segments and records.

A channel's section begins with the control block. Records follow, and continue in further
segments, each a section of its own. A record is a header, an entry for each attachment, and the
payload. The last record of a full segment is a link to the next one.

    control block | record | record | link ->  record | record | ... | end of the written part
    [0, START)      [START, SECTION)           [0, size of the segment)

All kernel handles in entries and links, and those in the control block, are numbers in the handle
table of the channel's home, which is the process that has the receiver.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SECTION = 1 << 16
"""Size in bytes of a channel's own section, which is its first segment."""
SEGMENT = 1 << 20
"""Size in bytes of a further segment, unless one record needs more."""
INLINE = 1 << 17
"""The largest payload, in bytes, that is inline in its record. A larger one has its own section."""

MAGIC = 0x31435049
"""The first word of the control block, "IPC1"."""

WORD = struct.Struct("<Q")
FLAG = struct.Struct("<I")

# Offsets in the control block.
ARMED = 4  # a flag: the receiver waits for a byte in the pipe
CLOSED = 8  # a flag: the receiver is closed
SHARED = 12  # a flag: several processes share the receiver
HOME_AT = 16  # the home's process id and time of birth
READING_AT = 32  # the position of the receiver
WRITING_AT = 64  # the position of the senders
PENDING_AT = 96  # 1 + the offset of the record that a sender is about to publish, or 0
PENDING_SEGMENT_AT = 104  # the handle of a segment that no link leads to yet, or 0
SERIAL_AT = 112  # the serial of the next new segment
CONTAINER_AT = 120  # the identity of the channel in whose queue the receiver is, or zeros
START = 136

HOME = struct.Struct("<QQ")
POSITION = struct.Struct("<QQQQ")
"""A segment's serial, an offset in it, its size, and its handle, which is 0 for the first one."""
POSITIONS = struct.Struct("<QQQQQQQQ")
"""The reading and the writing position, to set both in one store."""

HEADER = struct.Struct("<QIIQ")
"""Of a record: its size, MESSAGE or LINK, the number of entries, the size of the payload."""
ENTRY = struct.Struct("<IIQQQ16s")
"""Of an attachment: kind, 0, a number, two handles, a channel's identity; see Entry."""
FIRST_HANDLE = 16
SECOND_HANDLE = 24

MESSAGE = 1
LINK = 2
LINK_SIZE = HEADER.size + ENTRY.size

SEGMENT_ENTRY = 100
"""The kind of a link's entry: the next segment, whose serial takes the place of the identity."""
PAYLOAD_ENTRY = 101
"""The kind of the entry for a payload in a section of its own."""


class Entry(NamedTuple):
    """An attachment in a message: its kind, a number (bytes of a section), up to two kernel
    handles (0 for none), and the identity of its channel."""

    kind: int
    number: int
    first: int
    second: int
    identity: bytes


def record_size(entries: int, payload: int) -> int:
    """Return the size of a record in bytes, a multiple of 8."""
    return (HEADER.size + entries * ENTRY.size + payload + 7) & ~7


def entry_at(data: memoryview, offset: int) -> Entry:
    """Return the entry at an offset of a segment."""
    kind, _, number, first, second, identity = ENTRY.unpack_from(data, offset)
    return Entry(kind, number, first, second, identity)
