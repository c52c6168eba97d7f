"""The bytes of a message on the wire.

A frame is one packet, or one record of an overflow log:

    magic 2 | version 1 | flags 1 | count u32 | count entries | payload

Each entry describes one attachment: its kind, how many descriptors it has, and a number (the size
of a region, or the position of a receiver in its log). All numbers are little-endian. The payload
is the rest of the packet or record.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import starmap

from ipc_core.spi import DecodeError

MAGIC = b"\xa1\x7c"
VERSION = 1

SWITCH = 1
"""Go on reading in the log: the descriptors are the log and, if it carries attachments, their
queue."""
IN_MEMORY = 2
"""The payload is a size; the bytes are in the memfd that is the last descriptor."""
QUEUED = 4
"""The one descriptor is a queue that holds the attachments' descriptors."""
SWITCH_AHEAD = 8
"""A switch follows, perhaps after packets of others: receive with care."""
_KNOWN = SWITCH | IN_MEMORY | QUEUED | SWITCH_AHEAD

SMALL = 8000
"""Bytes of payload. Up to this size a packet is tried without asking how full the socket is."""

LARGEST_PACKET = 32768
"""Bytes of payload. A larger payload rides in memory: large packets eat the room that switches
need."""

MOST_ATTACHMENTS = 1 << 16
"""The handles of a message take twenty times the memory of their entries."""

_HEADER = struct.Struct("<2sBBI")
_ENTRY = struct.Struct("<BBQ")
HEADER_SIZE = _HEADER.size
ENTRY_SIZE = _ENTRY.size

PLAIN = _HEADER.pack(MAGIC, VERSION, 0, 0)
"""The header of a message with an inline payload and no attachments."""

SIZE = struct.Struct("<Q")

Entry = tuple[int, int, int]
"""One attachment's line in a frame: its kind, how many descriptors it has, and its number."""


def pack(flags: int, entries: Sequence[Entry]) -> bytes:
    """Return everything that precedes the payload."""
    if not (flags or entries):
        return PLAIN
    header = _HEADER.pack(MAGIC, VERSION, flags, len(entries))
    return header + b"".join(starmap(_ENTRY.pack, entries))


class Frame:
    """A frame taken apart. `payload` is a view of the buffer, `descriptors` the number announced by
    all entries together."""

    __slots__ = ("descriptors", "entries", "flags", "payload")

    def __init__(self, data: memoryview) -> None:
        """Take a frame apart. Raises DecodeError for one of another version or not well-formed."""
        if len(data) < HEADER_SIZE:
            raise DecodeError(f"a frame of {len(data)} bytes is too short")
        magic, version, flags, count = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise DecodeError("the peer does not speak this protocol")
        if version != VERSION or flags & ~_KNOWN:
            raise DecodeError(
                f"the peer speaks version {version} (flags {flags:#x}), not {VERSION}"
            )
        if flags & (SWITCH | SWITCH_AHEAD) and (
            flags not in (SWITCH, SWITCH_AHEAD) or len(data) != HEADER_SIZE
        ):
            raise DecodeError("a switch to a log cannot be a message at the same time")
        if count > MOST_ATTACHMENTS:
            raise DecodeError(f"a message cannot have {count} attachments")
        end = HEADER_SIZE + count * ENTRY_SIZE
        if end > len(data):
            raise DecodeError(f"a frame of {len(data)} bytes cannot describe {count} attachments")
        self.flags: int = flags
        self.entries: list[Entry] = list(_ENTRY.iter_unpack(data[HEADER_SIZE:end]))
        self.payload = data[end:]
        self.descriptors = 0
        for _, fds, _ in self.entries:
            self.descriptors += fds
