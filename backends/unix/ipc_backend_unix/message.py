"""A frame and its descriptors become a message."""

from __future__ import annotations

from collections.abc import Sequence

from ipc_backend_unix import wire
from ipc_backend_unix.attachments import Makers, make_handles
from ipc_backend_unix.descriptor_queue import QueueReader
from ipc_backend_unix.descriptors import adopt_socket, close_fds
from ipc_backend_unix.overflow import LogReader
from ipc_backend_unix.peer_memory import open_payload
from ipc_backend_unix.wire import Frame
from ipc_core.spi import Attachment, DecodeError, Payload

Message = tuple[Payload, Sequence[Attachment]]


def message(frame: Frame, fds: list[int], makers: Makers) -> Message:
    """Return the message of a frame. Takes over the descriptors, also on errors."""
    try:
        payload: Payload
        if frame.flags & wire.IN_MEMORY:
            payload = _payload_in_memory(frame, fds)
        else:
            payload = bytes(frame.payload)
        if frame.flags & wire.QUEUED:
            fds = _from_queue(frame, fds)
    except BaseException:
        close_fds(fds)
        raise
    return payload, make_handles(frame, fds, makers)


def message_in_log(log: LogReader, body: memoryview, token: int, makers: Makers) -> Message:
    """Return the message of a log's record; its descriptors are in the log's queue."""
    frame = Frame(body)
    if frame.flags:
        raise DecodeError("a record in a log must be inline")
    if not frame.descriptors:
        return message(frame, [], makers)
    if log.queue is None:
        raise DecodeError("a log without a queue carries attachments")
    return message(frame, log.queue.take(token, frame.descriptors), makers)


def _payload_in_memory(frame: Frame, fds: list[int]) -> Payload:
    if not fds or len(frame.payload) != wire.SIZE.size:
        raise DecodeError("a payload in memory has no memory")
    return open_payload(fds.pop(), *wire.SIZE.unpack(frame.payload))


def _from_queue(frame: Frame, fds: list[int]) -> list[int]:
    if len(fds) != 1:
        raise DecodeError(f"{len(fds)} descriptors cannot be one queue")
    queue = QueueReader(adopt_socket(fds.pop()))
    try:
        return queue.take(0, frame.descriptors)
    finally:
        queue.close()
