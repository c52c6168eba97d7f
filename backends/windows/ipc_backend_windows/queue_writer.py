"""Appending of records to a channel's memory, each as a whole or not at all.

A sender that is killed leaves a record that is not published, and a note of the kernel handles that
it had put into the home's table; `queue_memory` says how the next owner of the lock recovers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipc_backend_windows import win32, wire
from ipc_backend_windows.kernel_handles import copy
from ipc_backend_windows.queue_memory import QueueMemory, handle_places
from ipc_backend_windows.section import View
from ipc_backend_windows.wire import Entry
from ipc_core.spi import Buffer


def append(
    queue: QueueMemory,
    entries: Sequence[Entry],
    buffers: Sequence[Buffer],
    size: int,
    ring: Callable[[], object],
) -> None:
    """Append a message of `size` bytes with copies of the kernel handles in `entries`, which are
    this process's and stay so. Call with the lock held. `ring` is called if the receiver waits.

    Raises OSError if the system refuses; then nothing was sent.
    """
    record = wire.record_size(len(entries), size)
    view, offset = _room(queue, record)
    data = view.bytes
    # Behind the writing position nobody reads.
    wire.HEADER.pack_into(data, offset, record, wire.MESSAGE, len(entries), size)
    try:
        if entries:
            _copy_to_home(queue, view, offset, entries)
        place = offset + wire.HEADER.size + len(entries) * wire.ENTRY.size
        for buffer in buffers:
            data[place : place + len(buffer)] = buffer
            place += len(buffer)
        # The receiver that wakes waits for the lock, and so finds the message.
        if queue.flag(wire.ARMED):
            ring()
            queue.set_flag(wire.ARMED, False)
    except BaseException:
        _close_at_home(queue, view, offset)
        raise
    # The message exists from this store on.
    wire.WORD.pack_into(queue.data, wire.WRITING_AT + 8, offset + record)
    wire.WORD.pack_into(queue.data, wire.PENDING_AT, 0)


def _room(queue: QueueMemory, record: int) -> tuple[View, int]:
    """Return a segment and offset where `record` bytes fit with a link after them.

    Links a new segment if the present one is full. Raises OSError.
    """
    serial, offset, size, handle = queue.writing()
    view = queue.segment(serial, size, handle)
    if offset + record + wire.LINK_SIZE <= size:
        return view, offset
    needed = record + wire.LINK_SIZE
    next_serial, start, next_size, next_handle = queue.new_segment(max(wire.SEGMENT, needed))
    wire.HEADER.pack_into(view.bytes, offset, wire.LINK_SIZE, wire.LINK, 1, 0)
    entry = (wire.SEGMENT_ENTRY, 0, next_size, next_handle, 0, next_serial.to_bytes(16, "little"))
    wire.ENTRY.pack_into(view.bytes, offset + wire.HEADER.size, *entry)
    # The link and the segment exist from this store on.
    queue.set_writing(next_serial, start, next_size, next_handle)
    wire.WORD.pack_into(queue.data, wire.PENDING_SEGMENT_AT, 0)
    queue.forget(next_serial)
    return queue.segment(next_serial, next_size, next_handle), start


def _copy_to_home(queue: QueueMemory, view: View, offset: int, entries: Sequence[Entry]) -> None:
    """Copy the handles of `entries` into the home's table, and write them to the record."""
    home = queue.home_process()
    first = offset + wire.HEADER.size
    for number, entry in enumerate(entries):
        place = first + number * wire.ENTRY.size
        wire.ENTRY.pack_into(view.bytes, place, entry.kind, 0, entry.number, 0, 0, entry.identity)
    # The places of handles are 0 now; `_recover` may read them from this store on.
    wire.WORD.pack_into(queue.data, wire.PENDING_AT, offset + 1)
    handles = [handle for entry in entries for handle in (entry.first, entry.second)]
    for place, handle in zip(handle_places(view.bytes, offset), handles, strict=True):
        if handle:
            copy(handle, win32.CURRENT_PROCESS, home, view.address + place)


def _close_at_home(queue: QueueMemory, view: View, offset: int) -> None:
    """Close the handles at home of a message that was not sent."""
    (pending,) = wire.WORD.unpack_from(queue.data, wire.PENDING_AT)
    if pending == offset + 1:
        for place in handle_places(view.bytes, offset):
            (handle,) = wire.WORD.unpack_from(view.bytes, place)
            if handle:
                queue.close_at_home(handle)
        wire.WORD.pack_into(queue.data, wire.PENDING_AT, 0)
