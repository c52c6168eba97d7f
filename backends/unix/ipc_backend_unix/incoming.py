"""A frame and its descriptors become a message."""

from __future__ import annotations

from ipc_backend_unix import wire
from ipc_backend_unix.attachments import unpack
from ipc_backend_unix.descriptor_queue import QueueReader
from ipc_backend_unix.descriptors import Descriptor, adopt_socket, close_fds
from ipc_backend_unix.overflow import LogReader
from ipc_backend_unix.peer_memory import take
from ipc_backend_unix.wire import Frame
from ipc_core.spi import Attachment, DecodeError, Payload


def message(parsed: Frame, fds: list[int]) -> tuple[Payload, list[Attachment]]:
    """The payload and the attachments. Takes over the descriptors, also on errors."""
    try:
        data = _payload(parsed, fds)
        if parsed.flags & wire.QUEUED:
            fds = _from_queue(parsed, fds)
    except BaseException:
        close_fds(fds)
        raise
    return data, unpack(parsed, fds)


def open_log(fds: list[int], offset: int = 0) -> LogReader:
    """Start to read a log that a hop announces, or go on in one that came with its receiver.

    Takes over the descriptors, also on errors.
    """
    if len(fds) not in (1, 2):
        close_fds(fds)
        raise DecodeError(f"an overflow log cannot have {len(fds)} descriptors")
    memory = Descriptor(fds[0])
    try:
        queue = QueueReader(adopt_socket(fds[1])) if len(fds) == 2 else None
    except BaseException:
        memory.close()
        raise
    return LogReader(memory, queue, offset)


def from_log(log: LogReader, body: memoryview, token: int) -> tuple[Payload, list[Attachment]]:
    """The message in a log's record."""
    parsed = wire.parse(body)
    if parsed.flags:
        raise DecodeError("a record in a log must be in line")
    if not parsed.descriptors:
        return message(parsed, [])
    if log.queue is None:
        raise DecodeError("a log without a queue carries attachments")
    return message(parsed, log.queue.take(token, parsed.descriptors))


def _payload(parsed: Frame, fds: list[int]) -> Payload:
    if not parsed.flags & wire.IN_MEMORY:
        return bytes(parsed.payload)
    if not fds or len(parsed.payload) != wire.SIZE.size:
        raise DecodeError("a payload in memory has no memory")
    return take(fds.pop(), *wire.SIZE.unpack(parsed.payload))


def _from_queue(parsed: Frame, fds: list[int]) -> list[int]:
    if len(fds) != 1:
        raise DecodeError(f"{len(fds)} descriptors cannot be one queue")
    queue = QueueReader(adopt_socket(fds.pop()))
    try:
        return queue.take(0, parsed.descriptors)
    finally:
        queue.close()
