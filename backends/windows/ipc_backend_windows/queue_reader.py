"""The receiver's way through a channel's memory."""

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
    """Reads records in order. Those that were there when it last held the lock need no lock now.

    Its position is in the memory only after `settle`; while processes share the receiver, always.
    """

    def __init__(self, queue: QueueMemory) -> None:
        self.queue = queue
        self._offset = self._end = 0
        self._serial = self._size = self._handle = 0
        self._view: View | None = None

    def next(self, arm: bool = False) -> Record | None:
        """The next record, or None. With `arm` the next sender rings after None.

        Raises DecodeError for a malformed record, OSError when the system refuses.
        """
        queue = self.queue
        is_mine = self._view is not None and self._offset < self._end
        if is_mine and not self._at_link() and not queue.flag(wire.SHARED):
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
        """Whether there is a record; with `arm` the next sender rings after False."""
        queue = self.queue
        if queue.mutex.is_mine():
            return True
        with queue.locked():
            if self._view is None or queue.flag(wire.SHARED):
                self._load()
            available = self._available()
            if arm and not available:
                queue.set_flag(wire.ARMED, True)
            return available

    def settle(self) -> None:
        """Note in the memory what has been read, and forget where that was. Raises OSError."""
        with self.queue.locked():
            if self._view is not None:
                self._publish()
                self._view = None

    def _load(self) -> None:
        queue = self.queue
        if queue.home != this_process():
            relocate(queue, this_process()).commit()
        self._serial, self._offset, self._size, self._handle = queue.reading()
        self._end = self._offset
        self._view = queue.segment(self._serial, self._size, self._handle)

    def _publish(self) -> None:
        self.queue.set_reading(self._serial, self._offset, self._size, self._handle)

    def _available(self) -> bool:
        """Whether there is a record, at which this then is."""
        while True:
            while self._offset < self._end and self._at_link():
                self._follow()
            if self._offset < self._end:
                return True
            if not self._refill():
                return False

    def _refill(self) -> bool:
        """See what senders have added; return whether there is more to read."""
        queue = self.queue
        serial, offset, _, _ = queue.writing()
        if serial != self._serial:
            end = self._size  # a link comes before it
        elif offset > self._offset:
            end = offset
        else:
            self._begin_again()
            return False
        self._end = end
        self._publish()
        return True

    def _begin_again(self) -> None:
        """Everything has been read: the first segment is good for what comes."""
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
        """Go on to the next segment, and free this one."""
        queue, view = self.queue, self._view
        assert view is not None
        entry = wire.entry_at(view.bytes, self._offset + wire.HEADER.size)
        serial = int.from_bytes(entry.identity, "little")
        self._view = queue.segment(serial, entry.number, entry.first)
        finished, finished_handle = self._serial, self._handle
        self._serial, self._offset, self._size = serial, 0, entry.number
        self._handle = entry.first
        self._end = 0
        self._publish()
        if finished:
            queue.close_at_home(finished_handle)
        queue.forget(queue.writing()[0])
        self._refill()

    def _take(self) -> Record:
        view = self._view
        assert view is not None
        data, offset, room = view.bytes, self._offset, self._end - self._offset
        size, kind, count, payload = wire.HEADER.unpack_from(data, offset)
        if kind != wire.MESSAGE or not wire.record_size(count, payload) == size <= room:
            self._offset = self._end
            raise DecodeError("what is in this channel's memory is not a message")
        first = offset + wire.HEADER.size
        start = first + count * wire.ENTRY.size
        entries = [wire.entry_at(data, place) for place in range(first, start, wire.ENTRY.size)]
        content = bytes(data[start : start + payload])
        self._offset = offset + size
        return content, entries
