"""How a message looks on the wire.

A frame is one packet, or one record of an overflow log:

    magic 2 | version 1 | flags 1 | count u32 | count entries | payload

Each entry describes one attachment: its kind, how many descriptors it has, and a number (the
size of a region, or what a receiver has read of its log). All numbers are little-endian. The
length of the payload is what remains of the packet or record.
"""

from __future__ import annotations

import struct

from ipc_core.spi import DecodeError

MAGIC = b"\xa1\x7c"
VERSION = 1

HOP = 1
"""The descriptors are an overflow log and, where it carries attachments, their queue."""
IN_MEMORY = 2
"""The payload is a size; the bytes are in the memfd that is the last descriptor."""
QUEUED = 4
"""The one descriptor is a queue that holds the attachments' descriptors."""
NOTICE = 8
"""A hop follows, perhaps after packets of others: receive with care."""
_KNOWN = HOP | IN_MEMORY | QUEUED | NOTICE

MOST_ATTACHMENTS = 1 << 16
"""Those of a message take twenty times the memory of their entries."""

_HEADER = struct.Struct("<2sBBI")
_ENTRY = struct.Struct("<BBQ")
HEADER_SIZE = _HEADER.size
ENTRY_SIZE = _ENTRY.size

PLAIN = _HEADER.pack(MAGIC, VERSION, 0, 0)
"""The header of a message with everything in line and no attachments."""

SIZE = struct.Struct("<Q")


Entry = tuple[int, int, int]
"""One attachment's line in a frame: its kind, how many descriptors it has, and its number."""


class Frame:
    """A frame taken apart. The payload is a view of the buffer it was parsed from."""

    __slots__ = ("descriptors", "entries", "flags", "payload")

    def __init__(self, flags: int, entries: list[Entry], payload: memoryview) -> None:
        self.flags = flags
        self.entries = entries
        self.payload = payload
        self.descriptors = sum(entry[1] for entry in entries)


def pack(flags: int, entries: list[Entry]) -> bytes:
    """Everything before the payload."""
    if not (flags or entries):
        return PLAIN
    return _HEADER.pack(MAGIC, VERSION, flags, len(entries)) + b"".join(
        _ENTRY.pack(*entry) for entry in entries
    )


def parse(data: memoryview) -> Frame:
    """Take a frame apart. Raises DecodeError for one that is not well-formed."""
    if len(data) < HEADER_SIZE:
        raise DecodeError(f"a frame of {len(data)} bytes is too short")
    magic, version, flags, count = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise DecodeError("the peer does not speak this protocol")
    if version != VERSION or flags & ~_KNOWN:
        raise DecodeError(f"the peer speaks version {version} (flags {flags:#x}), not {VERSION}")
    if flags & (HOP | NOTICE) and (flags not in (HOP, NOTICE) or len(data) != HEADER_SIZE):
        raise DecodeError("a hop or its notice is not a message at the same time")
    if count > MOST_ATTACHMENTS:
        raise DecodeError(f"a message cannot have {count} attachments")
    end = HEADER_SIZE + count * ENTRY_SIZE
    if end > len(data):
        raise DecodeError(f"a frame of {len(data)} bytes cannot describe {count} attachments")
    return Frame(flags, list(_ENTRY.iter_unpack(data[HEADER_SIZE:end])), data[end:])
