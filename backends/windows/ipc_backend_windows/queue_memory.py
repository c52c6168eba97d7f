"""The memory of one channel in this process: its control block, segments and records.

A process may be killed at any instruction, also while it holds the lock and changes this memory.
These rules keep the channel whole for the others:

- The positions in the control block say which records exist. A record, or the link to a new
  segment, is written behind the writing position, which is then moved past it. A sender killed
  before that has sent nothing: the next one overwrites the record.
- A kernel handle in the home's table outlives the process that put it there. So the place of such a
  handle is noted (PENDING_AT, PENDING_SEGMENT_AT) before the handle is made, and the system itself
  writes the number to that place as it makes the handle. The note is cleared once the handle
  belongs to a message or a segment that exists.
- The mutex of a process that died is abandoned. The next process to take it learns of that, and
  closes the noted handles before it does anything else (`locked`, `_recover`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from ipc_backend_windows import win32, wire
from ipc_backend_windows.kernel_handles import Handle, Process, close_in, copy, opened, this_process
from ipc_backend_windows.mutex import Mutex
from ipc_backend_windows.section import View, new_section, open_section

# The one object of each channel in this process: all ends of the channel here share its mapping.
_known: weakref.WeakValueDictionary[bytes, QueueMemory] = weakref.WeakValueDictionary()
_knowing = threading.RLock()


class QueueMemory:
    """The queue of the channel that `identity` names, written by senders of any process.

    Call the methods with the lock held (`locked`), except `create`, `open` and `is_within`.
    """

    def __init__(self, identity: bytes, section: Handle) -> None:
        self.identity = identity
        self.section = section
        self.mutex = Mutex(_mutex_name(identity))
        self._own = View(section.value, wire.SECTION)
        self.data = self._own.bytes
        self._segments: dict[int, View] = {0: self._own}
        self._home: tuple[Process, Handle] | None = None

    @classmethod
    def create(cls, identity: bytes) -> QueueMemory:
        """Make the memory of a new channel, whose home is this process. Raises OSError."""
        made = cls(identity, new_section(wire.SECTION, _section_name(identity)))
        data = made.data
        wire.HOME.pack_into(data, wire.HOME_AT, *this_process())
        start = (0, wire.START, wire.SECTION, 0)
        wire.POSITIONS.pack_into(data, wire.READING_AT, *start, *start)
        wire.WORD.pack_into(data, wire.SERIAL_AT, 1)
        wire.FLAG.pack_into(data, 0, wire.MAGIC)
        with _knowing:
            _known[identity] = made
        return made

    @classmethod
    def open(cls, identity: bytes, section: int | None = None) -> QueueMemory:
        """Open the memory of a channel by its identity, or by its section, which is taken over.

        Raises OSError if there is no such channel.
        """
        owned = None if section is None else Handle(section)
        with _knowing:
            known = _known.get(identity)
            if known is None:
                known = cls(identity, owned or open_section(_section_name(identity)))
                if wire.FLAG.unpack_from(known.data)[0] != wire.MAGIC:
                    raise OSError(22, "this is not the memory of a channel")
                _known[identity] = known
            elif owned is not None and not known.section.value:
                known.section = owned  # a receiver that left this process took its own along
            return known

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock. Begins with the recovery from an owner that died with it."""
        died = self.mutex.acquire()
        try:
            if died:
                self._recover()
            yield
        finally:
            self.mutex.release()

    @property
    def home(self) -> Process:
        """The process that has the receiver, and in its table all kernel handles of the queue."""
        return Process(*wire.HOME.unpack_from(self.data, wire.HOME_AT))

    @home.setter
    def home(self, process: Process) -> None:
        wire.HOME.pack_into(self.data, wire.HOME_AT, *process)

    @property
    def container(self) -> bytes:
        """The identity of the channel in whose queue the receiver is, or zeros."""
        return bytes(self.data[wire.CONTAINER_AT : wire.CONTAINER_AT + 16])

    @container.setter
    def container(self, identity: bytes) -> None:
        self.data[wire.CONTAINER_AT : wire.CONTAINER_AT + 16] = identity

    def is_within(self, other: QueueMemory) -> bool:
        """Return whether this channel is `other`, or its receiver is in the queue of `other`.

        Follows containers to any depth. Needs no lock, and is a guess while others send receivers.
        """
        inner: QueueMemory | None = self
        seen = set()
        while inner is not None and inner.identity not in seen:
            if inner is other:
                return True
            seen.add(inner.identity)
            try:
                inner = QueueMemory.open(inner.container) if any(inner.container) else None
            except OSError:
                return False
        return False

    def home_process(self) -> int:
        """Return a handle to the home, owned by this object. Raises OSError if it has ended."""
        home = self.home
        if self._home is None or self._home[0] != home:
            self._home = home, opened(home)
        return self._home[1].value

    def flag(self, place: int) -> bool:
        """Return the flag at an offset of the control block."""
        return bool(wire.FLAG.unpack_from(self.data, place)[0])

    def set_flag(self, place: int, value: bool) -> None:
        """Set the flag at an offset of the control block."""
        wire.FLAG.pack_into(self.data, place, value)

    def reading(self) -> tuple[int, int, int, int]:
        """Return the receiver's position: a segment's serial, an offset, its size, its handle."""
        serial, offset, size, handle = wire.POSITION.unpack_from(self.data, wire.READING_AT)
        return serial, offset, size, handle

    def writing(self) -> tuple[int, int, int, int]:
        """Return the senders' position, in the same form."""
        serial, offset, size, handle = wire.POSITION.unpack_from(self.data, wire.WRITING_AT)
        return serial, offset, size, handle

    def set_reading(self, *position: int) -> None:
        """Move the receiver's position."""
        wire.POSITION.pack_into(self.data, wire.READING_AT, *position)

    def set_writing(self, *position: int) -> None:
        """Move the senders' position, by which a linked segment comes to exist."""
        wire.POSITION.pack_into(self.data, wire.WRITING_AT, *position)

    def start_over(self) -> None:
        """Go back to the first segment and free the others. Everything must have been read."""
        handle = self.writing()[3]
        start = (0, wire.START, wire.SECTION, 0)
        wire.POSITIONS.pack_into(self.data, wire.READING_AT, *start, *start)
        if handle:
            self.close_at_home(handle)
        self.forget()

    def new_segment(self, size: int) -> tuple[int, int, int, int]:
        """Make a segment, without a link to it; return its start as a position. Raises OSError."""
        section = new_section(size)
        view = View(section.value, size)
        # The system notes the handle for `_recover` as it makes it.
        address = self._own.address + wire.PENDING_SEGMENT_AT
        handle = copy(section.value, win32.CURRENT_PROCESS, self.home_process(), address)
        (serial,) = wire.WORD.unpack_from(self.data, wire.SERIAL_AT)
        wire.WORD.pack_into(self.data, wire.SERIAL_AT, serial + 1)
        self._segments[serial] = view
        return serial, 0, size, handle

    def segment(self, serial: int, size: int, handle: int) -> View:
        """Return the mapping of a segment, given its handle at home. Raises OSError."""
        view = self._segments.get(serial)
        if view is None:
            if self.home == this_process():
                view = View(handle, size)
            else:
                mine = Handle(copy(handle, self.home_process(), win32.CURRENT_PROCESS))
                view = View(mine.value, size)
            self._segments[serial] = view
        return view

    def forget(self, keep: int = 0) -> None:
        """Drop the mappings of all segments but the first and `keep`. A View in use stays valid."""
        for serial in [serial for serial in self._segments if serial not in (0, keep)]:
            del self._segments[serial]

    def _recover(self) -> None:
        """Close the unpublished handles that a killed sender had put into the home's table."""
        (pending,) = wire.WORD.unpack_from(self.data, wire.PENDING_AT)
        (segment,) = wire.WORD.unpack_from(self.data, wire.PENDING_SEGMENT_AT)
        if segment:
            wire.WORD.pack_into(self.data, wire.PENDING_SEGMENT_AT, 0)
            if segment != self.writing()[3]:  # else it was linked, and the position moved into it
                self.close_at_home(segment)
        if pending:
            wire.WORD.pack_into(self.data, wire.PENDING_AT, 0)
            serial, offset, size, handle = self.writing()
            if pending != offset + 1:
                return  # the message was published, and its handles belong to it
            try:
                data = self.segment(serial, size, handle).bytes
            except OSError:
                return  # the home has ended, and its handles with it
            for place in handle_places(data, offset):
                (value,) = wire.WORD.unpack_from(data, place)
                if value:
                    self.close_at_home(value)

    def close_at_home(self, handle: int) -> None:
        """Close a handle in the home's table."""
        try:
            close_in(self.home_process(), handle)
        except OSError:
            pass  # the home has ended, and its handles with it


def handle_places(data: memoryview, offset: int) -> list[int]:
    """Return the offsets, in its segment, of the kernel handles in the record at `offset`."""
    count = wire.HEADER.unpack_from(data, offset)[2]
    first = offset + wire.HEADER.size
    entries = range(first, first + count * wire.ENTRY.size, wire.ENTRY.size)
    handles = (wire.FIRST_HANDLE, wire.SECOND_HANDLE)
    return [entry + handle for entry in entries for handle in handles]


def _section_name(identity: bytes) -> str:
    return rf"Local\ipc-core-{identity.hex()}"


def _mutex_name(identity: bytes) -> str:
    return rf"Local\ipc-core-{identity.hex()}-lock"
