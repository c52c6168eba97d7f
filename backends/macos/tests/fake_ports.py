"""The ports, rights and queues of the fake kernel; no I/O but to memory files and eventfds.

It models what the documentation of Mach and published sources say, as strictly as it can: any use
of a name or right that a task does not have is a violation, which fails the test that ran. It
shows that the backend's logic is sound if Mach works like this. It is not macOS.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

NULL, DEAD = 0, 0xFFFFFFFF
RECEIVE, SEND, ONCE = 16, 17, 18
COPY_SEND, MAKE_SEND, MAKE_ONCE = 19, 20, 21
COMPLEX = 0x80000000
HEADER = struct.Struct("<IIIIIi")

SUCCESS = 0
INVALID_ARGUMENT, INVALID_NAME, INVALID_RIGHT, INVALID_VALUE = 4, 15, 17, 18
SEND_INVALID_DATA, SEND_INVALID_DEST, SEND_TIMED_OUT = 0x10000002, 0x10000003, 0x10000004
SEND_INVALID_REPLY, SEND_INVALID_RIGHT, SEND_TOO_SMALL = 0x10000009, 0x1000000A, 0x10000008
RCV_INVALID_NAME, RCV_TIMED_OUT, RCV_TOO_LARGE = 0x10004002, 0x10004003, 0x10004004
RCV_INTERRUPTED, RCV_PORT_DIED = 0x10004005, 0x10004009

PORT_DELETED, SEND_POSSIBLE, NO_SENDERS, SEND_ONCE_GONE, DEAD_NAME = 65, 66, 70, 71, 72
SEND_NOTIFY, SEND_TIMEOUT, RCV_LARGE, TRAILER_SENDER = 0x20, 0x10, 4, 2 << 24


class Refused(Exception):
    """A call returns this code; `violation` says what the caller did wrong, if anything."""

    def __init__(self, code: int, violation: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.violation = violation


@dataclass(eq=False)
class Port:
    receiver: Task | None = None
    alive: bool = True
    limit: int = 5
    send_rights: int = 0
    queue: deque[Message] = field(default_factory=deque)
    no_senders: Port | None = None
    requests: dict[Task, Request] = field(default_factory=dict)
    holders: dict[Task, int] = field(default_factory=dict)
    member_of: PortSet | None = None
    in_queue_of: Port | None = None
    waiting: deque[Waiting] = field(default_factory=deque)
    watchers: list[int] = field(default_factory=list)
    once_entries: set[Entry] = field(default_factory=set)
    memory: int | None = None
    size: int = 0


@dataclass(eq=False)
class PortSet:
    members: list[Port] = field(default_factory=list)
    waiting: deque[Waiting] = field(default_factory=deque)
    watchers: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Request:
    notify: Port
    armed: bool = False


@dataclass(eq=False)
class Entry:
    what: Port | PortSet
    receive: bool = False
    send: int = 0
    once: int = 0
    dead: int = 0

    @property
    def empty(self) -> bool:
        return not (self.receive or self.send or self.once or self.dead) and not isinstance(
            self.what, PortSet
        )


@dataclass(eq=False)
class Waiting:
    """A receive that has not returned."""

    task: Task
    option: int
    room: int
    done: Any
    place: Any
    over: bool = False

    def end(self, code: int) -> None:
        """Return from it without a message."""
        if not self.over:
            self.over = True
            self.place.waiting.remove(self)
            self.done(code, b"", 0, ())


@dataclass(eq=False)
class Message:
    dest: Port
    dest_kind: int
    id: int
    raw: bytes
    reply: Port | None = None
    reply_kind: int = 0
    rights: list[tuple[int, int, Any]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    arrays: dict[int, tuple[int, list[Any]]] = field(default_factory=dict)
    user: int = 0


@dataclass(eq=False)
class Task:
    label: str
    kernel: Kernel
    entries: dict[int, Entry] = field(default_factory=dict)
    connections: int = 0
    counter: int = 0x1003

    def new_name(self, entry: Entry) -> int:
        self.counter += 0x100
        self.entries[self.counter] = entry
        return self.counter

    def entry(self, name: int) -> Entry:
        found = self.entries.get(name)
        if found is None:
            raise Refused(INVALID_NAME, f"there is no name {name:#x}")
        return found

    def tidy(self, name: int) -> None:
        """Free a name without rights; a request for it ends with a notification."""
        entry = self.entries[name]
        if not entry.empty:
            return
        del self.entries[name]
        port = entry.what
        if isinstance(port, Port):
            port.once_entries.discard(entry)
        if isinstance(port, Port) and port.holders.get(self) == name:
            del port.holders[self]
            request = port.requests.pop(self, None)
            if request is not None:
                self.kernel.notify(request.notify, PORT_DELETED, name)

    def named(self, port: Port) -> tuple[int, Entry]:
        name = port.holders.get(self)
        if name is None:
            name = self.new_name(Entry(port))
            port.holders[self] = name
        return name, self.entries[name]


class Kernel:
    def __init__(self) -> None:
        self.violations: list[str] = []
        self.bootstrap = Port()
        self.services: dict[bytes, Port] = {}

    def notify(self, port: Port, id: int, value: int) -> None:
        if port.alive:
            raw = HEADER.pack(0, 36, 0, 0, 0, id) + bytes(8) + struct.pack("<I", value)
            self.enqueue(Message(port, ONCE, id, raw))

    def enqueue(self, message: Message) -> None:
        port = message.dest
        port.queue.append(message)
        self.serve(port)
        self.show(port)

    def serve(self, port: Port) -> None:
        """Give messages to whoever waits for them."""
        for place in (port, port.member_of):
            while place is not None and place.waiting and port.queue:
                waiting = place.waiting.popleft()
                waiting.over = True
                waiting.done(*self.dequeue(port, waiting))

    def show(self, port: Port) -> None:
        """Keep the eventfds of watchers as readable as the queue."""
        for place in (port, port.member_of):
            if place is None or not place.watchers:
                continue
            queues = [port] if place is port else place.members  # type: ignore[union-attr]
            readable = any(member.queue for member in queues)
            for watcher in place.watchers:
                try:
                    os.eventfd_read(watcher)
                except BlockingIOError:
                    pass
                if readable:
                    os.eventfd_write(watcher, 1)

    def dequeue(self, port: Port, waiting: Waiting) -> tuple[Any, ...]:
        """Take the first message out of a queue for a receive: code, bytes, needed size, files."""
        message = port.queue[0]
        size = len(message.raw)
        trailer = 20 if waiting.option & TRAILER_SENDER else 8
        if size + trailer > waiting.room:
            if not waiting.option & RCV_LARGE:
                self.violations.append("a message was received in too small a buffer")
            return RCV_TOO_LARGE, b"", size, ()
        port.queue.popleft()
        if len(port.queue) < port.limit:
            for task, request in list(port.requests.items()):
                if request.armed:
                    del port.requests[task]
                    self.notify(request.notify, SEND_POSSIBLE, port.holders[task])
        self.show(port)
        raw = self.copy_out(message, waiting.task)
        raw += struct.pack("<III", 0, trailer, 0)[:8]
        if trailer == 20:
            raw += struct.pack("<III", 0, message.user, 0)
        return SUCCESS, raw, 0, message.files

    # Rights

    def take_right(self, task: Task, name: int, kind: int) -> tuple[int, Any]:
        """Copy a right in; return its kind in the message, and the port (None or DEAD)."""
        made = {COPY_SEND: SEND, MAKE_SEND: SEND, MAKE_ONCE: ONCE}.get(kind, kind)
        if name in (NULL, DEAD):
            return made, DEAD if name else None
        entry = task.entry(name)
        port = entry.what
        if isinstance(port, PortSet):
            raise Refused(SEND_INVALID_RIGHT, "a port set was sent")
        if entry.dead and kind in (COPY_SEND, SEND, ONCE):
            if kind != COPY_SEND:
                entry.dead -= 1
                task.tidy(name)
            return made, DEAD
        if kind in (RECEIVE, MAKE_SEND, MAKE_ONCE) and not entry.receive:
            raise Refused(SEND_INVALID_RIGHT, f"{name:#x} is no receive right, for {kind}")
        if kind in (COPY_SEND, SEND) and not entry.send:
            raise Refused(SEND_INVALID_RIGHT, f"{name:#x} is no send right, for {kind}")
        if kind == ONCE and not entry.once:
            raise Refused(SEND_INVALID_RIGHT, f"{name:#x} is no send-once right")
        if kind in (COPY_SEND, MAKE_SEND):
            port.send_rights += 1
        elif kind == SEND:
            entry.send -= 1
            task.tidy(name)
        elif kind == ONCE:
            entry.once -= 1
            task.tidy(name)
        elif kind == RECEIVE:
            self.detach(task, name, entry, port)
        return made, port

    def detach(self, task: Task, name: int, entry: Entry, port: Port) -> None:
        """A receive right leaves its task: waits end, and so does the no-senders request."""
        entry.receive = False
        port.receiver = None
        self.leave_set(port)
        self.end_waits(port)
        if port.no_senders is not None:
            notify, port.no_senders = port.no_senders, None
            self.notify(notify, SEND_ONCE_GONE, 0)
        task.tidy(name)

    def end_waits(self, place: Port | PortSet) -> None:
        while place.waiting:
            place.waiting[0].end(RCV_PORT_DIED)
        for watcher in place.watchers:
            os.close(watcher)
        place.watchers.clear()

    def leave_set(self, port: Port) -> None:
        if port.member_of is not None:
            old, port.member_of = port.member_of, None
            old.members.remove(port)
            self.show_set(old)

    def show_set(self, port_set: PortSet) -> None:
        if port_set.watchers:
            probe = Port(member_of=port_set)
            self.show(probe)

    def give_right(self, task: Task, kind: int, port: Any) -> int:
        """Copy a right out; return its name."""
        if port is None:
            return NULL
        if port is DEAD or (not port.alive and kind != RECEIVE):
            return DEAD
        if kind == ONCE:
            once = Entry(port, once=1)
            port.once_entries.add(once)
            return task.new_name(once)
        name, entry = task.named(port)
        if kind == SEND:
            entry.send += 1
        else:
            entry.receive = True
            port.receiver = task
            port.in_queue_of = None
        return name

    def drop_right(self, kind: int, port: Any) -> None:
        """A right that nobody has any more."""
        if port is None or port is DEAD or not port.alive:
            return
        if kind == SEND:
            port.send_rights -= 1
            if not port.send_rights:
                if port.no_senders is not None:
                    notify, port.no_senders = port.no_senders, None
                    self.notify(notify, NO_SENDERS, 0)
                if port.memory is not None:
                    os.close(port.memory)
                    port.memory = None
        elif kind == ONCE:
            self.notify(port, SEND_ONCE_GONE, 0)
        else:
            self.destroy(port)

    def destroy(self, port: Port) -> None:
        """A receive right is gone, and all that was queued with it."""
        port.alive = False
        port.receiver = None
        self.leave_set(port)
        self.end_waits(port)
        for task, name in list(port.holders.items()):
            entry = task.entries[name]
            entry.dead, entry.send = entry.send, 0
            request = port.requests.pop(task, None)
            if entry.dead and request is not None:
                entry.dead += 1
                self.notify(request.notify, DEAD_NAME, name)
            elif request is not None:
                self.notify(request.notify, PORT_DELETED, name)
            del port.holders[task]
            task.tidy(name)
        for once in port.once_entries:
            once.once, once.dead = 0, once.once
        for service, target in list(self.services.items()):
            if target is port:
                del self.services[service]
        while port.queue:
            self.drop_message(port.queue.popleft())

    def drop_message(self, message: Message) -> None:
        if message.dest_kind == SEND:
            self.drop_right(SEND, message.dest)
        self.drop_right(message.reply_kind, message.reply)
        for _, kind, port in message.rights:
            self.drop_right(kind, port)
        for kind, ports in message.arrays.values():
            for port in ports:
                self.drop_right(kind, port)
        for file in message.files:
            os.close(file)
        message.files = []

    # Messages

    def copy_in(self, task: Task, raw: bytes, files: list[int]) -> Message:
        bits, size, remote, local, _voucher, id = HEADER.unpack_from(raw)
        if size != len(raw) or size % 4:
            raise Refused(SEND_TOO_SMALL, f"a message of {size} bytes, {len(raw)} were given")
        entry = task.entries.get(remote)
        if entry is None:
            raise Refused(SEND_INVALID_DEST, f"a message to {remote:#x}, which is no name")
        if entry.dead:
            raise Refused(SEND_INVALID_DEST)
        taken: list[tuple[int, Any]] = []
        message = None
        try:
            kind, dest = self.take_right(task, remote, bits & 0x1F)
            taken.append((kind, dest))
            reply_kind, reply = 0, None
            if local:
                reply_kind, reply = self.take_right(task, local, bits >> 8 & 0x1F)
                taken.append((reply_kind, reply))
            message = Message(dest, kind, id, raw, reply, reply_kind, user=os.geteuid())
            message.files = files
            for number, offset in enumerate(self.descriptors(raw)):
                kind = raw[offset + 11]
                if kind == 0:
                    name, _, _, disposition, _ = struct.unpack_from("<IIHBB", raw, offset)
                    kind, port = self.take_right(task, name, disposition)
                    message.rights.append((offset, kind, port))
                    taken.append((kind, port))
                elif kind == 2:
                    self.take_array(task, message, offset, number, taken)
        except Refused as error:
            for kind, port in taken:
                self.drop_right(kind, port)
            violation = error.violation or "a right in a message"
            raise Refused(SEND_INVALID_RIGHT, violation) from error
        return message

    def take_array(
        self, task: Task, message: Message, offset: int, number: int, taken: list[Any]
    ) -> None:
        count = struct.unpack_from("<I", message.raw, offset + 12)[0]
        file = self.files_before(message.raw, offset)
        names = struct.unpack(f"<{count}I", os.pread(message.files[file], 4 * count, 0))
        ports = []
        for name in names:
            kind, port = self.take_right(task, name, message.raw[offset + 10])
            taken.append((kind, port))
            ports.append(port)
            message.arrays[offset] = kind, ports

    def files_before(self, raw: bytes, offset: int) -> int:
        return sum(raw[o + 11] in (1, 2, 3) for o in self.descriptors(raw) if o < offset)

    def descriptors(self, raw: bytes) -> list[int]:
        if not HEADER.unpack_from(raw)[0] & COMPLEX:
            return []
        found, offset = [], 28
        for _ in range(struct.unpack_from("<I", raw, 24)[0]):
            if offset + 12 > len(raw):
                raise Refused(SEND_TOO_SMALL, "descriptors beyond the end of a message")
            found.append(offset)
            offset += 12 if raw[offset + 11] == 0 else 16
        return found

    def send(self, task: Task, raw: bytes, files: list[int], option: int, timeout: int) -> Any:
        """Returns a code, and the bytes of the message if it came back."""
        message = self.copy_in(task, raw, files)
        dest = message.dest
        if len(dest.queue) >= dest.limit and message.dest_kind == SEND:
            if not option & SEND_TIMEOUT or timeout:
                self.violations.append("a send would have waited")
            returned = self.copy_back(message, task)
            request = dest.requests.get(task)
            if request is not None and option & SEND_NOTIFY:
                request.armed = True
            return SEND_TIMED_OUT, returned
        moved = [port for _, kind, port in message.rights if kind == RECEIVE]
        if any(self.circular(port, dest) for port in moved):
            self.drop_message(message)
            return SUCCESS, b""
        for port in moved:
            port.in_queue_of = dest
        self.enqueue(message)
        return SUCCESS, b""

    def circular(self, port: Port, dest: Port) -> bool:
        place: Port | None = dest
        while place is not None:
            if place is port:
                return True
            place = place.in_queue_of
        return False

    def put_rights(self, raw: bytearray, message: Message, task: Task) -> None:
        for offset, kind, port in message.rights:
            name = self.give_right(task, kind, port)
            struct.pack_into("<IIHBB", raw, offset, name, 0, 0, kind, 0)
        for offset, (kind, ports) in message.arrays.items():
            names = [self.give_right(task, kind, port) for port in ports]
            file = message.files[self.files_before(message.raw, offset)]
            os.pwrite(file, struct.pack(f"<{len(names)}I", *names), 0)
            raw[offset + 10] = kind

    def copy_out(self, message: Message, task: Task) -> bytes:
        raw = bytearray(message.raw)
        bits = HEADER.unpack_from(raw)[0] & COMPLEX
        local, _ = task.named(message.dest)
        reply = self.give_right(task, message.reply_kind, message.reply)
        bits |= message.reply_kind | message.dest_kind << 8
        HEADER.pack_into(raw, 0, bits, len(raw), reply, local, 0, message.id)
        self.put_rights(raw, message, task)
        if message.dest_kind == SEND:
            self.drop_right(SEND, message.dest)
        return bytes(raw)

    def copy_back(self, message: Message, task: Task) -> bytes:
        """A send that failed returns the message as if it had been received."""
        raw = bytearray(message.raw)
        remote = self.give_right(task, message.dest_kind, message.dest)
        local = self.give_right(task, message.reply_kind, message.reply)
        bits = HEADER.unpack_from(raw)[0] & COMPLEX
        bits |= message.dest_kind | message.reply_kind << 8
        HEADER.pack_into(raw, 0, bits, len(raw), remote, local, 0, message.id)
        self.put_rights(raw, message, task)
        return bytes(raw)

    def receive(self, task: Task, name: int, option: int, room: int, done: Any) -> Waiting | None:
        """Call `done` with a message now, or return what waits for one."""
        entry = task.entries.get(name)
        if entry is None or not (entry.receive or isinstance(entry.what, PortSet)):
            raise Refused(RCV_INVALID_NAME, f"a receive on {name:#x}")
        place = entry.what
        waiting = Waiting(task, option, room, done, place)
        queues = [place] if isinstance(place, Port) else place.members
        for port in queues:
            if port.queue:
                if isinstance(place, PortSet):
                    place.members.remove(port)
                    place.members.append(port)
                waiting.over = True
                done(*self.dequeue(port, waiting))
                return None
        place.waiting.append(waiting)
        return waiting

    def die(self, task: Task) -> None:
        """A task has ended, in whatever way: all its rights go."""
        for name, entry in list(task.entries.items()):
            port = entry.what
            if isinstance(port, PortSet):
                self.end_waits(port)
                for member in list(port.members):
                    self.leave_set(member)
                continue
            for _ in range(entry.once):
                self.drop_right(ONCE, port)
            sends, entry.send, entry.once = entry.send, 0, 0
            if port.holders.get(task) == name:
                port.requests.pop(task, None)
                del port.holders[task]
            if entry.receive:
                entry.receive = False
                self.destroy(port)
            for _ in range(sends):
                self.drop_right(SEND, port)
        task.entries.clear()
