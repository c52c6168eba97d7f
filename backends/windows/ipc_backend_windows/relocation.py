"""The move of a receiver's queue to another process, and back if the send fails.

The kernel handles in a queue are in the table of the channel's home, so they must go to the process
that gets the receiver. The move has three steps, and a failure leaves all handles in one table:

1. `run` copies every handle into the table of the target, replaces the old numbers in the memory by
   the new ones, and changes the home. A receiver in the queue takes its own queue along, at any
   depth. From then on senders put their handles into the target's table. If a copy fails, the
   copies are closed and nothing has changed.
2. The message with the receiver is appended to the target's queue.
3. `commit` closes the old handles, or `roll_back` puts the old numbers back and closes the new
   ones. A handle that was sent in between has only a new number, and is copied back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ipc_backend_windows import win32, wire
from ipc_backend_windows.kernel_handles import Handle, Process, close_in, copy, opened
from ipc_backend_windows.queue_memory import QueueMemory, handle_places
from ipc_backend_windows.section import View
from ipc_core.spi import Kind

Change = Callable[[int], int]
"""The new number of a handle, by its old one."""


class Relocation:
    """The kernel handles of a queue, and of the queues inside it, in two processes' tables."""

    def __init__(self, queue: QueueMemory, source: Process, target: Process) -> None:
        self._queue = queue
        self._source = source
        self._target = target
        self._moved: dict[int, int] = {}
        self._inner: list[Relocation] = []
        self._processes: dict[Process, Handle] = {}

    def _opened(self, process: Process) -> int:
        """Return a handle to a process, opened once. Raises OSError."""
        if process not in self._processes:
            self._processes[process] = opened(process)
        return self._processes[process].value

    def _opened_or_0(self, process: Process) -> int:
        """Return a handle to a process, or 0 if it has ended and its table with it."""
        try:
            return self._opened(process)
        except OSError:
            return 0

    def run(self) -> None:
        """Move to the target. Call with the queue's lock held.

        Raises OSError; then nothing has changed.
        """
        source, target = self._opened(self._source), self._opened(self._target)

        def duplicate(handle: int) -> int:
            # The same handle may be in several places, as a position and in a link.
            if handle not in self._moved:
                self._moved[handle] = copy(handle, source, target)
            return self._moved[handle]

        # All that can fail comes before the first change of the memory.
        try:
            for view, offset in _records(self._queue):
                for place in handle_places(view.bytes, offset):
                    (handle,) = wire.WORD.unpack_from(view.bytes, place)
                    if handle:
                        duplicate(handle)
                for identity, section in _receivers(view, offset):
                    mine = copy(section, source, win32.CURRENT_PROCESS)
                    inner = QueueMemory.open(identity, mine)
                    self._inner.append(relocate(inner, self._target))
            for handle in (self._queue.reading()[3], self._queue.writing()[3]):
                if handle:
                    duplicate(handle)
        except BaseException:
            for handle in self._moved.values():
                close_in(target, handle)
            for inner_move in self._inner:
                inner_move.roll_back()
            raise
        _rewrite(self._queue, duplicate)
        self._queue.home = self._target

    def commit(self) -> None:
        """Close the handles at the old home: the receiver has gone to the new one."""
        source = self._opened_or_0(self._source)
        for handle in self._moved:
            if source:
                close_in(source, handle)
        for inner in self._inner:
            inner.commit()

    def roll_back(self) -> None:
        """Return to the old home: the receiver stays there.

        Handles that were sent in between are copied back. Those in the table of a target that has
        ended are lost, and become 0.
        """
        target = self._opened_or_0(self._target)
        back = {new: old for old, new in self._moved.items()}

        def restore(handle: int) -> int:
            if handle not in back:
                try:
                    back[handle] = copy(handle, target, self._opened(self._source))
                except OSError:
                    back[handle] = 0
            return back[handle]

        for inner in self._inner:
            inner.roll_back()
        with self._queue.locked():
            if self._queue.home == self._target:  # else a process that shares it has moved it since
                _rewrite(self._queue, restore)
                self._queue.home = self._source
        for handle in back:
            if target:
                close_in(target, handle)


def relocate(queue: QueueMemory, target: Process) -> Relocation:
    """Move a queue's handles to the table of `target`. The caller may hold the queue's lock.

    Raises OSError; then nothing has changed.
    """
    if queue.mutex.is_mine():
        relocation = Relocation(queue, queue.home, target)
        if queue.home != target:
            relocation.run()
        return relocation
    with queue.locked():
        return relocate(queue, target)


def _records(queue: QueueMemory) -> Iterator[tuple[View, int]]:
    """Iterate over the segments and offsets of all records not read yet, links included."""
    serial, offset, size, handle = queue.reading()
    last, end, _, _ = queue.writing()
    while True:
        view = queue.segment(serial, size, handle)
        stop = end if serial == last else size
        linked = None
        while offset < stop and linked is None:
            record, kind, _, _ = wire.HEADER.unpack_from(view.bytes, offset)
            if record < wire.HEADER.size:
                return  # malformed; the receiver raises DecodeError there
            yield view, offset
            if kind == wire.LINK:
                linked = wire.entry_at(view.bytes, offset + wire.HEADER.size)
            offset += record
        if linked is None:
            return
        serial, offset = int.from_bytes(linked.identity, "little"), 0
        size, handle = linked.number, linked.first


def _receivers(view: View, offset: int) -> Iterator[tuple[bytes, int]]:
    """Iterate over the identities and sections of the receivers in the message at `offset`."""
    _, kind, count, _ = wire.HEADER.unpack_from(view.bytes, offset)
    if kind == wire.MESSAGE:
        for number in range(count):
            place = offset + wire.HEADER.size + number * wire.ENTRY.size
            entry = wire.entry_at(view.bytes, place)
            if entry.kind == Kind.RECEIVER:
                yield entry.identity, entry.second


def _rewrite(queue: QueueMemory, change: Change) -> None:
    """Replace the number of every handle in the queue's records and positions."""
    # A list, since the walk along the links needs their old numbers.
    for view, offset in list(_records(queue)):
        for place in handle_places(view.bytes, offset):
            (handle,) = wire.WORD.unpack_from(view.bytes, place)
            if handle:
                wire.WORD.pack_into(view.bytes, place, change(handle))
    for position, assign in (
        (queue.reading(), queue.set_reading),
        (queue.writing(), queue.set_writing),
    ):
        if position[3]:
            assign(*position[:3], change(position[3]))
