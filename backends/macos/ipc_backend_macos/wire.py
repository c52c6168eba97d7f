"""The bytes of messages: built without a system call, and parsed without trust.

After the Mach header and the descriptors comes a header of this protocol, then a record for each
attachment, then, at an offset that is a multiple of 8, the payload. A large payload is one
out-of-line region instead, described by the last descriptor. Offsets count from the start of the
message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ipc_backend_macos.mach import (
    BODY,
    DESCRIPTOR_SIZES,
    DESCRIPTOR_TYPE_OFFSET,
    HEADER,
    MACH_MSG_OOL_DESCRIPTOR,
    MACH_MSG_PORT_DESCRIPTOR,
    MACH_MSG_TYPE_COPY_SEND,
    MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE,
    MACH_MSG_TYPE_MOVE_SEND,
    MACH_MSG_TYPE_MOVE_SEND_ONCE,
    MACH_MSG_VIRTUAL_COPY,
    MACH_MSGH_BITS_COMPLEX,
    MACH_MSGH_BITS_LOCAL_SHIFT,
    MACH_MSGH_BITS_REMOTE_MASK,
    MACH_MSGH_BITS_VOUCHER_SHIFT,
    MACH_PORT_DEAD,
    MACH_PORT_NULL,
    OOL,
    PORT,
)
from ipc_core.spi import DecodeError, Kind

MAGIC = 0x6963
VERSION = 1
OUT_OF_LINE = 1

OURS = struct.Struct("<HBBIQ")
"""Magic, version, flags, number of attachments, bytes of payload."""
RECORD = struct.Struct("<BQ")
"""The kind of an attachment (the constants below), and the bytes of a region."""

SENDER = int(Kind.SENDER)
RECEIVER = int(Kind.RECEIVER)
REGION = int(Kind.SHARED_MEMORY)
EMPTY_REGION = 4
GATED_SENDER = 5
"""A sender, and the send right for its gate (see `gate`)."""

KINDS = {
    SENDER: Kind.SENDER,
    RECEIVER: Kind.RECEIVER,
    REGION: Kind.SHARED_MEMORY,
    EMPTY_REGION: Kind.SHARED_MEMORY,
    GATED_SENDER: Kind.SENDER,
}
"""The kind of handle that an attachment becomes."""

RIGHTS = {
    SENDER: (MACH_MSG_TYPE_MOVE_SEND,),
    RECEIVER: (MACH_MSG_TYPE_MOVE_RECEIVE,),
    REGION: (MACH_MSG_TYPE_MOVE_SEND,),
    EMPTY_REGION: (),
    GATED_SENDER: (MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND),
}
"""The dispositions of an attachment's rights, as they are received."""

MESSAGE_ID = 0x69706301
HELLO_ID = 0x69706302
WELCOME_ID = 0x69706303
REFUSAL_ID = 0x69706304
NUDGE_ID = 0x69706305
REMINDER_ID = 0x69706306

_HEADER_RIGHTS = MACH_MSGH_BITS_REMOTE_MASK * (1 | 1 << MACH_MSGH_BITS_VOUCHER_SHIFT)

INLINE_MAX = 16 << 10
"""Bytes of the largest payload that goes inline; larger ones go out of line."""


class Frame(NamedTuple):
    """The parts of a message. No right or memory in it has been claimed yet."""

    records: list[tuple[int, int]]
    ports: list[int]
    payload: memoryview | None
    region: tuple[int, int] | None


def port_descriptor(name: int, disposition: int) -> bytes:
    """Return the descriptor of one right."""
    return PORT.pack(name, 0, 0, disposition, MACH_MSG_PORT_DESCRIPTOR)


def region_descriptor(address: int, size: int) -> bytes:
    """Return the descriptor of memory that the kernel moves out of this task."""
    return OOL.pack(address, 1, MACH_MSG_VIRTUAL_COPY, 0, MACH_MSG_OOL_DESCRIPTOR, size)


def compose(
    remote: int,
    records: Sequence[tuple[int, int]],
    ports: Sequence[bytes],
    *,
    payload: Iterable[bytes | bytearray | memoryview] = (),
    length: int,
    region: int | None = None,
) -> bytes:
    """Build a message to a send right. `region` is the address of an out-of-line payload."""
    descriptors = [*ports, region_descriptor(region, length)] if region is not None else ports
    flags = OUT_OF_LINE if region is not None else 0
    parts: list[bytes | bytearray | memoryview] = [
        BODY.pack(len(descriptors)),
        *descriptors,
        OURS.pack(MAGIC, VERSION, flags, len(records), length),
        *[RECORD.pack(*record) for record in records],
    ]
    size = HEADER.size + sum(map(len, parts))
    parts.append(bytes(-size % 8))
    size += -size % 8
    if region is None:
        parts += payload
        parts.append(bytes(-length % 4))
        size += length + -length % 4
    bits = MACH_MSG_TYPE_COPY_SEND | MACH_MSGH_BITS_COMPLEX
    return HEADER.pack(bits, size, remote, 0, 0, MESSAGE_ID) + b"".join(parts)


def hello(service: int, reply: int, name: bytes) -> bytes:
    """Build a client's request to the process that serves `name`; the answer goes to `reply`."""
    bits = MACH_MSG_TYPE_COPY_SEND | MACH_MSG_TYPE_MAKE_SEND_ONCE << MACH_MSGH_BITS_LOCAL_SHIFT
    text = OURS.pack(MAGIC, VERSION, 0, 0, len(name)) + name + bytes(-len(name) % 4)
    return HEADER.pack(bits, HEADER.size + len(text), service, reply, 0, HELLO_ID) + text


def welcome(reply: int, sender: int) -> bytes:
    """Build the answer that moves a send right to the first client."""
    bits = MACH_MSG_TYPE_MOVE_SEND_ONCE | MACH_MSGH_BITS_COMPLEX
    size = HEADER.size + BODY.size + PORT.size
    header = HEADER.pack(bits, size, reply, 0, 0, WELCOME_ID)
    return header + BODY.pack(1) + port_descriptor(sender, MACH_MSG_TYPE_MOVE_SEND)


def refusal(reply: int) -> bytes:
    """Build the answer to any other client."""
    return HEADER.pack(MACH_MSG_TYPE_MOVE_SEND_ONCE, HEADER.size, reply, 0, 0, REFUSAL_ID)


def nudge(receiver: int) -> bytes:
    """Build a note that wakes a thread of this process which receives on the port.

    Notes go to a send-once right: no queue limit holds them up, and no peer can forge them, because
    only the holder of the receive right can make one.
    """
    return HEADER.pack(MACH_MSG_TYPE_MAKE_SEND_ONCE, HEADER.size, receiver, 0, 0, NUDGE_ID)


def reminder(receiver: int, name: int) -> bytes:
    """Build a note to a port of this process about another port, by its name."""
    size = HEADER.size + BODY.size
    header = HEADER.pack(MACH_MSG_TYPE_MAKE_SEND_ONCE, size, receiver, 0, 0, REMINDER_ID)
    return header + BODY.pack(name)


def greeted_name(message: memoryview) -> bytes:
    """Return the server's name in a client's request; empty if there is none."""
    offset = HEADER.size + OURS.size
    if len(message) < offset:
        return b""
    length = OURS.unpack_from(message, HEADER.size)[4]
    return bytes(message[offset : offset + length])


def is_note(bits: int) -> bool:
    """Tell whether a message came over a send-once right, so from the kernel or this process."""
    return bits >> MACH_MSGH_BITS_LOCAL_SHIFT & 0x1F == MACH_MSG_TYPE_MOVE_SEND_ONCE


def descriptors(message: memoryview) -> Iterator[tuple[int, int]]:
    """Yield the type and offset of each descriptor of a message."""
    bits = HEADER.unpack_from(message)[0]
    if not bits & MACH_MSGH_BITS_COMPLEX:
        return
    (count,) = BODY.unpack_from(message, HEADER.size)
    offset = HEADER.size + BODY.size
    for _ in range(count):
        kind = message[offset + DESCRIPTOR_TYPE_OFFSET]
        yield kind, offset
        offset += DESCRIPTOR_SIZES[kind]


def parse(message: memoryview) -> Frame:
    """Parse a received message, without its trailer. The kernel has checked the descriptors; all
    else is a peer's claim. Raises DecodeError."""
    try:
        return _parse(message)
    except (struct.error, IndexError, KeyError) as error:
        raise DecodeError("a message is cut short") from error


def _parse(message: memoryview) -> Frame:
    bits, _, remote, _, voucher, id = HEADER.unpack_from(message)
    if id != MESSAGE_ID or not bits & MACH_MSGH_BITS_COMPLEX:
        raise DecodeError(f"a message has the id {id:#x}, which is not of this protocol")
    if remote or voucher or bits & _HEADER_RIGHTS:
        raise DecodeError("a message carries rights in its header")
    ports: list[tuple[int, int]] = []
    region = None
    offset = HEADER.size + BODY.size
    for kind, place in descriptors(message):
        if region is not None:
            raise DecodeError("a descriptor follows the payload's")
        if kind == MACH_MSG_PORT_DESCRIPTOR:
            name, _, _, disposition, _ = PORT.unpack_from(message, place)
            ports.append((name, disposition))
        elif kind == MACH_MSG_OOL_DESCRIPTOR:
            address, _, _, _, _, size = OOL.unpack_from(message, place)
            region = address, size
        else:
            raise DecodeError(f"a message has a descriptor of type {kind}")
        offset = place + DESCRIPTOR_SIZES[kind]
    magic, version, flags, count, length = OURS.unpack_from(message, offset)
    if magic != MAGIC or version != VERSION:
        raise DecodeError(f"a message of another protocol: {magic:#x}, version {version}")
    if flags != (0 if region is None else OUT_OF_LINE):
        raise DecodeError("flags and descriptors contradict each other")
    offset += OURS.size
    if count * RECORD.size > len(message) - offset:
        raise DecodeError(f"{count} attachments do not fit in the message")
    records = [RECORD.unpack_from(message, offset + n * RECORD.size) for n in range(count)]
    _check_rights(records, ports)
    offset += count * RECORD.size
    offset += -offset % 8
    inline = message[offset:]
    wanted = length + -length % 4 if region is None else 0
    if len(message) < offset or len(inline) != wanted:
        raise DecodeError(f"{length} bytes of payload were announced, {len(inline)} came")
    if region is not None and (region[1] != length or not region[0] or not length):
        raise DecodeError(f"{length} bytes of payload were announced, {region[1]} came")
    payload = inline[:length] if region is None else None
    return Frame(records, [name for name, _ in ports], payload, region)


def _check_rights(records: list[tuple[int, int]], ports: list[tuple[int, int]]) -> None:
    expected: list[int] = []
    for kind, size in records:
        if kind not in RIGHTS:
            raise DecodeError(f"an attachment of unknown kind {kind}")
        if bool(size) != (kind == REGION):
            raise DecodeError(f"an attachment of kind {kind} cannot have {size} bytes")
        expected += RIGHTS[kind]
    if [disposition for _, disposition in ports] != expected:
        raise DecodeError("the rights of a message are not those of its attachments")
    for name, disposition in ports:
        moves = disposition == MACH_MSG_TYPE_MOVE_RECEIVE
        if name == MACH_PORT_NULL or (moves and name == MACH_PORT_DEAD):
            raise DecodeError("an attachment of a message has no port")
