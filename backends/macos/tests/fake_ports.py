"""The parts of the fake kernel: ports and sets, tasks with their names, messages.

It models the documentation and published sources of Mach as strictly as it can: any use of a name
or right that a task does not have is a violation, which fails the test that ran. It shows that the
backend's logic is sound if Mach works like this. It is not macOS.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_rights import Rights

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
    """A call returns this code; `violation` states the caller's mistake, if there is one."""

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
    target: Port | PortSet
    receive: bool = False
    send: int = 0
    once: int = 0
    dead: int = 0

    @property
    def empty(self) -> bool:
        return not (self.receive or self.send or self.once or self.dead) and not isinstance(
            self.target, PortSet
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
        """Return from the receive without a message."""
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
    kernel: Rights
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
        port = entry.target
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
