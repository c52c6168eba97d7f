"""The memory of one channel in this process: its control block, segments and records.

Every method but the constructors is for the thread that holds the lock (`locked`).
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

# One object for each channel in this process, so that all its ends here share a mapping.
_known: weakref.WeakValueDictionary[bytes, QueueMemory] = weakref.WeakValueDictionary()
_knowing = threading.RLock()


class QueueMemory:
    """What senders, in any process, write and the receiver reads. `identity` names the channel."""

    def __init__(self, identity: bytes, section: Handle) -> None:
        self.identity = identity
        self.section = section
        self.mutex = Mutex(mutex_name(identity))
        self._own = View(section.value, wire.SECTION)
        self.data = self._own.bytes
        self._segments: dict[int, View] = {0: self._own}
        self._home: tuple[Process, Handle] | None = None

    @classmethod
    def create(cls, identity: bytes) -> QueueMemory:
        """Raises OSError."""
        made = cls(identity, new_section(wire.SECTION, section_name(identity)))
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
        """The memory of a channel by its identity, or by a handle, which is taken over.

        Raises OSError when there is no such channel any more.
        """
        owned = None if section is None else Handle(section)
        with _knowing:
            known = _known.get(identity)
            if known is None:
                known = cls(identity, owned or open_section(section_name(identity)))
                if wire.FLAG.unpack_from(known.data)[0] != wire.MAGIC:
                    raise OSError(22, "this is not the memory of a channel")
                _known[identity] = known
            elif owned is not None and not known.section.value:
                known.section = owned
            return known

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; first tidy up after an owner that died with it."""
        died = self.mutex.acquire()
        try:
            if died:
                self._mend()
            yield
        finally:
            self.mutex.release()

    @property
    def home(self) -> Process:
        return Process(*wire.HOME.unpack_from(self.data, wire.HOME_AT))

    @home.setter
    def home(self, process: Process) -> None:
        wire.HOME.pack_into(self.data, wire.HOME_AT, *process)

    @property
    def container(self) -> bytes:
        """The identity of the channel in whose queue the receiver is; zeros if it is in none."""
        return bytes(self.data[wire.CONTAINER_AT : wire.CONTAINER_AT + 16])

    @container.setter
    def container(self, identity: bytes) -> None:
        self.data[wire.CONTAINER_AT : wire.CONTAINER_AT + 16] = identity

    def is_within(self, other: QueueMemory) -> bool:
        """Whether the receiver of this channel is in the queue of the other one, at any depth, or
        is the same. Needs no lock, and is a guess while others send receivers around."""
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
        """A handle to the home, which stays this object's. Raises OSError when it is gone."""
        home = self.home
        if self._home is None or self._home[0] != home:
            self._home = home, opened(home)
        return self._home[1].value

    def flag(self, place: int) -> bool:
        return bool(wire.FLAG.unpack_from(self.data, place)[0])

    def set_flag(self, place: int, value: bool) -> None:
        wire.FLAG.pack_into(self.data, place, value)

    def reading(self) -> tuple[int, int, int, int]:
        """Serial, offset, size and handle of the segment that is being read."""
        serial, offset, size, handle = wire.POSITION.unpack_from(self.data, wire.READING_AT)
        return serial, offset, size, handle

    def writing(self) -> tuple[int, int, int, int]:
        """The same of the one that is being written."""
        serial, offset, size, handle = wire.POSITION.unpack_from(self.data, wire.WRITING_AT)
        return serial, offset, size, handle

    def set_reading(self, *position: int) -> None:
        wire.POSITION.pack_into(self.data, wire.READING_AT, *position)

    def set_writing(self, *position: int) -> None:
        wire.POSITION.pack_into(self.data, wire.WRITING_AT, *position)

    def start_over(self) -> None:
        """Everything has been read: go back to the first segment and free the others."""
        handle = self.writing()[3]
        start = (0, wire.START, wire.SECTION, 0)
        wire.POSITIONS.pack_into(self.data, wire.READING_AT, *start, *start)
        if handle:
            self.close_at_home(handle)
        self.forget()

    def new_segment(self, size: int) -> tuple[int, int, int, int]:
        """A segment at home, not linked yet; where to begin to write. Raises OSError."""
        section = new_section(size)
        view = View(section.value, size)
        address = self.address(wire.PENDING_SEGMENT_AT)
        handle = copy(section.value, win32.CURRENT_PROCESS, self.home_process(), address)
        (serial,) = wire.WORD.unpack_from(self.data, wire.SERIAL_AT)
        wire.WORD.pack_into(self.data, wire.SERIAL_AT, serial + 1)
        self._segments[serial] = view
        return serial, 0, size, handle

    def segment(self, serial: int, size: int, handle: int) -> View:
        """The mapping of a segment, by its handle at home. Raises OSError."""
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
        """Let go of all segments but the first and `keep`. Who uses one keeps its View."""
        for serial in [serial for serial in self._segments if serial not in (0, keep)]:
            del self._segments[serial]

    def address(self, offset: int) -> int:
        """Where a part of the control block is."""
        return self._own.address + offset

    def _mend(self) -> None:
        """Close what a sender that was killed had put into the home's table for a message."""
        (pending,) = wire.WORD.unpack_from(self.data, wire.PENDING_AT)
        (segment,) = wire.WORD.unpack_from(self.data, wire.PENDING_SEGMENT_AT)
        if segment:
            wire.WORD.pack_into(self.data, wire.PENDING_SEGMENT_AT, 0)
            if segment != self.writing()[3]:
                self.close_at_home(segment)
        if pending:
            wire.WORD.pack_into(self.data, wire.PENDING_AT, 0)
            serial, _, size, handle = self.writing()
            try:
                data = self.segment(serial, size, handle).bytes
            except OSError:
                return  # the home is gone, and the handles with it
            for place in handle_places(data, pending):
                (value,) = wire.WORD.unpack_from(data, place)
                if value:
                    self.close_at_home(value)

    def close_at_home(self, handle: int) -> None:
        try:
            close_in(self.home_process(), handle)
        except OSError:
            pass  # the home is gone, and the handle with it


def handle_places(data: memoryview, offset: int) -> list[int]:
    """Where in a segment the handles of the record at `offset` are."""
    count = wire.HEADER.unpack_from(data, offset)[2]
    first = offset + wire.HEADER.size
    entries = range(first, first + count * wire.ENTRY.size, wire.ENTRY.size)
    handles = (wire.FIRST_HANDLE, wire.SECOND_HANDLE)
    return [entry + handle for entry in entries for handle in handles]


def section_name(identity: bytes) -> str:
    return rf"Local\ipc-core-{identity.hex()}"


def mutex_name(identity: bytes) -> str:
    return rf"Local\ipc-core-{identity.hex()}-lock"


def pipe_name(identity: bytes) -> str:
    return rf"\\.\pipe\ipc-core-{identity.hex()}"
