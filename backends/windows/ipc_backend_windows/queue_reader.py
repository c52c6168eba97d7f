"""Reading of records from a channel's memory, in order and mostly without its lock.

Records before `_end`, the writing position as last seen under the lock, do not change while the
receiver stays in this process: senders only append behind it, and nobody but the reader frees
segments. So they are read without the lock, and the reader keeps its position to itself. It stores
the position in the memory

- when it sees new records, follows a link, or begins again in the first segment;
- in `settle`, before the receiver leaves this process.

In between the stored position is behind: others see records as unread that were read here. While
processes share the receiver (SHARED), each record is read under the lock, from the stored position.
"""

from __future__ import annotations

from ipc_backend_windows import wire
from ipc_backend_windows.kernel_handles import this_process
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.relocation import relocate
from ipc_backend_windows.section import View
from ipc_backend_windows.wire import Entry
from ipc_core.spi import DecodeError

Record = tuple[bytes, list[Entry]]


class Reader:
    """The receiver's position in a channel's memory. For one thread at a time."""

    def __init__(self, queue: QueueMemory) -> None:
        self.queue = queue
        self._offset = self._end = 0
        self._serial = self._size = self._handle = 0
        self._view: View | None = None

    def next(self, arm: bool = False) -> Record | None:
        """Return the next record, or None; after None with `arm`, the next sender rings.

        Raises DecodeError for a malformed record, OSError if the system refuses.
        """
        queue = self.queue
        has_seen = self._view is not None and self._offset < self._end
        if has_seen and not self._at_link() and not queue.flag(wire.SHARED):
            return self._take()
        if queue.mutex.is_mine():
            return None  # this call has interrupted the sending of the next one
        with queue.locked():
            if self._view is None or queue.flag(wire.SHARED):
                self._load()
            if not self._available():
                if arm:
                    queue.set_flag(wire.ARMED, True)
                return None
            try:
                return self._take()
            finally:
                if queue.writing()[:2] == (self._serial, self._offset):
                    self._begin_again()
                elif queue.flag(wire.SHARED):
                    self._publish()

    def has_next(self, arm: bool) -> bool:
        """Return whether there is a record; after False with `arm`, the next sender rings."""
        queue = self.queue
        if queue.mutex.is_mine():
            return True  # this call has interrupted the sending of one
        with queue.locked():
            if self._view is None or queue.flag(wire.SHARED):
                self._load()
            available = self._available()
            if arm and not available:
                queue.set_flag(wire.ARMED, True)
            return available

    def settle(self) -> None:
        """Store the position in the memory, and read from there next. Raises OSError."""
        with self.queue.locked():
            if self._view is not None:
                self._publish()
                self._view = None

    def _load(self) -> None:
        """Read from the position that is stored in the memory, with no record seen yet."""
        queue = self.queue
        if queue.home != this_process():  # a process that shares the receiver has it
            relocate(queue, this_process()).commit()
        self._serial, self._offset, self._size, self._handle = queue.reading()
        self._end = self._offset
        self._view = queue.segment(self._serial, self._size, self._handle)

    def _publish(self) -> None:
        """Store the position in the memory."""
        self.queue.set_reading(self._serial, self._offset, self._size, self._handle)

    def _available(self) -> bool:
        """Go to the next record; return whether there is one."""
        while True:
            while self._offset < self._end and self._at_link():
                self._follow()
            if self._offset < self._end:
                return True
            if not self._refill():
                return False

    def _refill(self) -> bool:
        """See the records that senders have added; return whether there are any."""
        queue = self.queue
        serial, offset, _, _ = queue.writing()
        if serial != self._serial:
            end = self._size  # the segment is full: its last record is a link
        elif offset > self._offset:
            end = offset
        else:
            self._begin_again()
            return False
        self._end = end
        self._publish()
        return True

    def _begin_again(self) -> None:
        """Go back to the first segment, since everything has been read."""
        queue = self.queue
        queue.start_over()
        self._serial, self._offset, self._size, self._handle = queue.reading()
        self._end = self._offset
        self._view = queue.segment(0, self._size, 0)

    def _at_link(self) -> bool:
        view = self._view
        assert view is not None
        kind = wire.HEADER.unpack_from(view.bytes, self._offset)[1]
        return bool(kind == wire.LINK)

    def _follow(self) -> None:
        """Go on to the segment that the link here leads to, and free this one."""
        queue, view = self.queue, self._view
        assert view is not None
        entry = wire.entry_at(view.bytes, self._offset + wire.HEADER.size)
        serial = int.from_bytes(entry.identity, "little")
        self._view = queue.segment(serial, entry.number, entry.first)
        finished, finished_handle = self._serial, self._handle
        self._serial, self._offset, self._size = serial, 0, entry.number
        self._handle = entry.first
        self._end = 0
        # Before the handle is closed that the stored position has.
        self._publish()
        if finished:
            queue.close_at_home(finished_handle)
        queue.forget(queue.writing()[0])
        self._refill()

    def _take(self) -> Record:
        """Return the record here, and step past it. Raises DecodeError, having skipped the rest."""
        view = self._view
        assert view is not None
        data, offset, room = view.bytes, self._offset, self._end - self._offset
        size, kind, count, payload = wire.HEADER.unpack_from(data, offset)
        if kind != wire.MESSAGE or not wire.record_size(count, payload) == size <= room:
            self._offset = self._end
            raise DecodeError("a record in this channel's memory is not a message")
        first = offset + wire.HEADER.size
        start = first + count * wire.ENTRY.size
        entries = [wire.entry_at(data, place) for place in range(first, start, wire.ENTRY.size)]
        content = bytes(data[start : start + payload])
        self._offset = offset + size
        return content, entries
