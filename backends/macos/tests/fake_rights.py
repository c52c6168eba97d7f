"""The rights of the fake kernel, from their making to their end."""

from __future__ import annotations

import os
import struct
from typing import Any

from fake_ports import (
    COPY_SEND,
    DEAD,
    DEAD_NAME,
    HEADER,
    MAKE_ONCE,
    MAKE_SEND,
    NO_SENDERS,
    NULL,
    ONCE,
    PORT_DELETED,
    RCV_PORT_DIED,
    RECEIVE,
    SEND,
    SEND_INVALID_RIGHT,
    SEND_ONCE_GONE,
    Entry,
    Message,
    Port,
    PortSet,
    Refused,
    Task,
)


class Rights:
    """The rights. A subclass decides about messages."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.bootstrap = Port()
        self.services: dict[bytes, Port] = {}

    def notify(self, port: Port, id: int, value: int) -> None:
        if port.alive:
            raw = HEADER.pack(0, 36, 0, 0, 0, id) + bytes(8) + struct.pack("<I", value)
            self.enqueue(Message(port, ONCE, id, raw))

    def enqueue(self, message: Message) -> None:
        """Put a message into its destination's queue, or give it to a receive that waits."""
        raise NotImplementedError

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

    def show_set(self, port_set: PortSet) -> None:
        if port_set.watchers:
            probe = Port(member_of=port_set)
            self.show(probe)

    def take_right(self, task: Task, name: int, kind: int) -> tuple[int, Any]:
        """Copy a right in; return its kind in the message, and the port (None or DEAD)."""
        made = {COPY_SEND: SEND, MAKE_SEND: SEND, MAKE_ONCE: ONCE}.get(kind, kind)
        if name in (NULL, DEAD):
            return made, DEAD if name else None
        entry = task.entry(name)
        port = entry.target
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
        """End a right that no task and no message has."""
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

    def detach(self, task: Task, name: int, entry: Entry, port: Port) -> None:
        """Take a receive right out of its task: waits end, and so does the no-senders request."""
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

    def destroy(self, port: Port) -> None:
        """End a receive right, and everything queued in it."""
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

    def die(self, task: Task) -> None:
        """End a task and all its rights."""
        for name, entry in list(task.entries.items()):
            port = entry.target
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
