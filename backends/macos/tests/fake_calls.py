"""The port calls of the fake kernel, by the names of the real ones."""

from __future__ import annotations

from typing import Any

from fake_messages import Kernel
from fake_ports import (
    DEAD_NAME,
    INVALID_ARGUMENT,
    INVALID_NAME,
    INVALID_RIGHT,
    INVALID_VALUE,
    MAKE_ONCE,
    MAKE_SEND,
    NO_SENDERS,
    ONCE,
    SEND,
    SEND_POSSIBLE,
    Entry,
    Port,
    PortSet,
    Refused,
    Request,
    Task,
)

NOT_PRIVILEGED, NAME_IN_USE, UNKNOWN_SERVICE = 1100, 1101, 1102


class Calls(Kernel):
    """The calls. Each returns the two values that the real one writes."""

    def allocate(self, task: Task, right: int, *_: Any) -> tuple[int, int]:
        if right == 3:
            return task.new_name(Entry(PortSet())), 0
        if right != 1:
            raise Refused(INVALID_VALUE, f"an allocation of right {right}")
        port = Port(receiver=task)
        name, entry = task.named(port)
        entry.receive = True
        return name, 0

    def deallocate(self, task: Task, name: int, *_: Any) -> tuple[int, int]:
        entry = task.entry(name)
        if entry.once:
            entry.once -= 1
            task.tidy(name)
            self.drop_right(ONCE, entry.target)
        elif entry.send:
            entry.send -= 1
            task.tidy(name)
            self.drop_right(SEND, entry.target)
        elif entry.dead:
            entry.dead -= 1
            task.tidy(name)
        else:
            raise Refused(INVALID_RIGHT, f"{name:#x} was deallocated without a reference")
        return 0, 0

    def mod_refs(self, task: Task, name: int, right: int, delta: int, *_: Any) -> tuple[int, int]:
        entry = task.entry(name)
        place = entry.target
        if right == 0 and delta == 1 and isinstance(place, Port):
            if not entry.send:
                raise Refused(INVALID_RIGHT, "" if entry.dead else f"{name:#x} is no send right")
            entry.send += 1
            place.send_rights += 1
        elif right == 1 and delta == -1 and entry.receive and isinstance(place, Port):
            entry.receive = False
            task_request = place.requests.get(task)
            if not entry.send:
                del task.entries[name]
                del place.holders[task]
                place.requests.pop(task, None)
                if task_request is not None:
                    self.notify(task_request.notify, 65, name)
            self.destroy(place)
        elif right == 3 and delta == -1 and isinstance(place, PortSet):
            self.end_waits(place)
            for member in list(place.members):
                self.leave_set(member)
            del task.entries[name]
        else:
            raise Refused(INVALID_RIGHT, f"mod_refs({name:#x}, {right}, {delta})")
        return 0, 0

    def move_member(self, task: Task, name: int, after: int, *_: Any) -> tuple[int, int]:
        entry = task.entry(name)
        if not entry.receive or not isinstance(entry.target, Port):
            raise Refused(INVALID_RIGHT, f"{name:#x} was moved to a set")
        port_set = task.entry(after).target if after else None
        if port_set is not None and not isinstance(port_set, PortSet):
            raise Refused(INVALID_RIGHT, f"{after:#x} is no set")
        self.leave_set(entry.target)
        if port_set is not None:
            entry.target.member_of = port_set
            port_set.members.append(entry.target)
            self.serve(entry.target)
            self.show(entry.target)
        return 0, 0

    def extract(self, task: Task, name: int, kind: int, *_: Any) -> tuple[int, int]:
        entry = task.entry(name)
        if kind != MAKE_SEND or not entry.receive or not isinstance(entry.target, Port):
            raise Refused(INVALID_RIGHT, f"extract_right({name:#x}, {kind})")
        entry.send += 1
        entry.target.send_rights += 1
        return name, SEND

    def limits(self, task: Task, name: int, flavor: int, limit: int, count: int) -> tuple[int, int]:
        entry = task.entry(name)
        if flavor != 1 or count != 1 or not entry.receive or not 1 <= limit <= 1024:
            raise Refused(INVALID_VALUE, f"set_attributes({name:#x}, {flavor}, {limit}, {count})")
        entry.target.limit = limit  # type: ignore[union-attr]
        return 0, 0

    def request(self, task: Task, name: int, id: int, sync: int, notify: int) -> tuple[int, int]:
        kind, notify = notify >> 32, notify & 0xFFFFFFFF
        to = task.entry(notify)
        if kind != MAKE_ONCE or not to.receive or not isinstance(to.target, Port):
            raise Refused(INVALID_RIGHT, f"a notification to {notify:#x}, kind {kind}")
        entry = task.entry(name)
        port = entry.target
        if isinstance(port, PortSet):
            raise Refused(INVALID_RIGHT, "a notification about a set")
        previous: Port | None = None
        if id == NO_SENDERS:
            if not entry.receive:
                raise Refused(INVALID_RIGHT, f"no-senders for {name:#x}, no receive right")
            previous, port.no_senders = port.no_senders, to.target
            if not port.send_rights:
                port.no_senders = None
                self.notify(to.target, NO_SENDERS, 0)
        elif id in (DEAD_NAME, SEND_POSSIBLE):
            if entry.dead:
                if not sync:
                    raise Refused(INVALID_ARGUMENT)
                entry.dead += 1
                self.notify(to.target, DEAD_NAME, name)
            else:
                old = port.requests.get(task)
                previous = old.notify if old else None
                port.requests[task] = Request(to.target)
        else:
            raise Refused(INVALID_VALUE, f"a request for notification {id}")
        return (self.give_right(task, ONCE, previous) if previous else 0), 0

    def type(self, task: Task, name: int, *_: Any) -> tuple[int, int]:
        entry = task.entry(name)
        kind = 0x80000 if isinstance(entry.target, PortSet) else 0
        kind |= 0x10000 * bool(entry.send) | 0x20000 * entry.receive
        return kind | 0x40000 * bool(entry.once) | 0x100000 * bool(entry.dead), 0

    def special(self, task: Task, which: int, *_: Any) -> tuple[int, int]:
        if which != 4:
            raise Refused(INVALID_ARGUMENT, f"special port {which}")
        self.bootstrap.send_rights += 1
        return self.give_right(task, SEND, self.bootstrap), 0

    def register(
        self, task: Task, bootstrap: int, name: int, flags: int, service: bytes
    ) -> tuple[int, int]:
        self.check_bootstrap(task, bootstrap)
        if name == 0:
            if service not in self.services:
                raise Refused(NOT_PRIVILEGED)
            self.drop_right(SEND, self.services.pop(service))
            return 0, 0
        if service in self.services:
            raise Refused(NAME_IN_USE)
        entry = task.entry(name)
        if not entry.send or flags or len(service) > 127:
            raise Refused(INVALID_RIGHT, f"register({service!r}, {name:#x}, {flags})")
        entry.target.send_rights += 1  # type: ignore[union-attr]
        self.services[service] = entry.target  # type: ignore[assignment]
        return 0, 0

    def look_up(self, task: Task, bootstrap: int, service: bytes) -> tuple[int, int]:
        self.check_bootstrap(task, bootstrap)
        if len(service) > 127:
            raise Refused(INVALID_ARGUMENT, "a service name that does not fit in a name_t")
        port = self.services.get(service)
        if port is None:
            raise Refused(UNKNOWN_SERVICE)
        port.send_rights += 1
        return self.give_right(task, SEND, port), 0

    def check_bootstrap(self, task: Task, name: int) -> None:
        if task.entry(name).target is not self.bootstrap:
            raise Refused(INVALID_NAME, f"{name:#x} is not the bootstrap port")
