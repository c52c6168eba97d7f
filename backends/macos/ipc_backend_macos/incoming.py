"""A received message becomes a payload and handles, each right exactly once."""

from __future__ import annotations

from collections.abc import Sequence

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.attachments import Makers
from ipc_backend_macos.buffers import recycle
from ipc_backend_macos.memory import mapped
from ipc_backend_macos.remote_port import receivers_here
from ipc_backend_macos.rights import release_message, release_right
from ipc_core.spi import Attachment, Buffer, Disconnected


def unwrap(
    name: int, message: memoryview, makers: Makers
) -> tuple[Buffer, Sequence[Attachment]] | None:
    """Claim a message that a port has received, with its trailer. None for a note to this process,
    which has done its work.

    Raises DecodeError for bytes that are not a message. Raises Disconnected for the notification
    of the channel's end, and requests another one, so that every later receive finds the end too.
    """
    bits, size, _, _, _, id = mach.HEADER.unpack_from(message)
    if wire.is_note(bits):
        recycle(message)
        if id == mach.MACH_NOTIFY_NO_SENDERS:
            _request_end(name)
            raise Disconnected("every sender is gone")
        return None
    return claim(message, size, makers)


def _request_end(name: int) -> None:
    """Request the notification of the end again. The kernel sends it at once, and only if the end
    is true of the port that has the name now: a receiver that left a set may be gone, or in another
    process."""
    with locking.LOCK:
        if name in receivers_here:
            kernel.notify(name, mach.MACH_NOTIFY_NO_SENDERS, name)


def claim(received: memoryview, size: int, makers: Makers) -> tuple[Buffer, Sequence[Attachment]]:
    """Take over everything that a message of `size` bytes carries, and give its buffer back.

    The payload is not shared: a copy, or memory that the kernel moved here. Raises DecodeError for
    bytes that are not a message, after everything that they carried was given back.
    """
    message = received[:size]
    try:
        try:
            frame = wire.parse(message)
        except BaseException:
            release_message(message)
            raise
        return _claim(frame, makers)
    finally:
        message.release()
        recycle(received)


def _claim(frame: wire.Frame, makers: Makers) -> tuple[Buffer, Sequence[Attachment]]:
    ports, records = iter(frame.ports), iter(frame.records)
    attachments: list[Attachment] = []
    try:
        for record, size in records:
            make = makers[wire.KINDS[record]]
            attachments.append(make([next(ports) for _ in wire.RIGHTS[record]], size))
        if frame.payload is not None:
            payload: Buffer = bytes(frame.payload)
            frame.payload.release()
        else:
            payload = memoryview(mapped(*frame.region)).cast("B")  # type: ignore[misc]
        return payload, attachments
    except BaseException:
        # The iterators stand behind the record that failed, whose rights its maker has taken over.
        for attachment in attachments:
            attachment.close()
        for record, _ in records:
            for disposition in wire.RIGHTS[record]:
                release_right(next(ports), disposition)
        if frame.region is not None:
            kernel.release_memory(*frame.region)
        raise
