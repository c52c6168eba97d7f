"""A received message becomes a payload and handles, each right exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipc_backend_macos import mach, wire
from ipc_backend_macos.buffers import done_with
from ipc_backend_macos.rights import release_message, release_right
from ipc_core.spi import Attachment, Buffer, DecodeError


def claim(received: memoryview, size: int) -> tuple[Buffer, Sequence[Attachment]]:
    """Take over what a message of `size` bytes carries; gives its buffer back.

    The payload is ours alone: a copy, or memory that the kernel moved here. Raises DecodeError for
    what is no message; then all that it carried was given back.
    """
    message = received[:size]
    try:
        try:
            parsed = wire.parse(message)
        except BaseException:
            release_message(message)
            raise
        return _claim(parsed)
    finally:
        message.release()
        done_with(received)


def _claim(parsed: wire.Frame) -> tuple[Buffer, Sequence[Attachment]]:
    ports = iter(parsed.ports)
    attachments: list[Attachment] = []
    records = iter(parsed.records)
    try:
        for kind, size in records:
            attachments.append(_handle(kind, size, ports))
        if parsed.payload is not None:
            payload: Buffer = bytes(parsed.payload)
            parsed.payload.release()
        else:
            payload = _mapped(*parsed.region)  # type: ignore[misc]
        return payload, attachments
    except BaseException:
        for attachment in attachments:
            attachment.close()
        for kind, _ in records:
            for disposition in wire.RIGHTS[kind]:
                release_right(next(ports), disposition)
        if parsed.region is not None:
            _mapped(*parsed.region)
        raise


def _mapped(address: int, size: int) -> memoryview:
    from ipc_backend_macos.memory import mapped

    return memoryview(mapped(address, size)).cast("B")


def _handle(kind: int, size: int, ports: Iterator[int]) -> Attachment:
    """Make the handle of an attachment; its rights are taken over, also when that fails."""
    from ipc_backend_macos.memory import Entry, MacosSharedMemory, received_region
    from ipc_backend_macos.receiver import MacosReceiver
    from ipc_backend_macos.sender import received_sender

    if kind == wire.SENDER:
        return received_sender(next(ports))
    if kind == wire.GATED_SENDER:
        return received_sender(next(ports), next(ports))
    if kind == wire.RECEIVER:
        return MacosReceiver(next(ports))
    if kind == wire.REGION:
        name = next(ports)
        if name == mach.MACH_PORT_DEAD:
            raise DecodeError("a region in a message is gone")
        return received_region(name, size)
    return MacosSharedMemory(Entry(0, 0))
