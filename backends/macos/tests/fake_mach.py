"""The broker: the fake kernel of all processes of a test run, in a process of its own.

Programs reach it through `fake_libsystem.c`, over a SOCK_SEQPACKET connection for each call that
is under way. A task ends when its last connection closes, so that a killed process loses its
rights as it would in a kernel.

    python fake_mach.py SOCKET

It ends when its standard input ends.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from typing import Any

from fake_calls import Calls
from fake_ports import (
    RCV_INTERRUPTED,
    RCV_TIMED_OUT,
    SEND,
    Entry,
    Port,
    PortSet,
    Refused,
    Task,
    Waiting,
)

REQUEST = struct.Struct("<II6q")
REPLY = struct.Struct("<iI4q")
HELLO, SEND_OP, RECEIVE, CANCEL, PORT, ENTRY, MAP, WATCH, VIOLATION, REPORT = range(1, 11)
RCV_TIMEOUT = 0x100
LARGEST = 1 << 18


class Broker(Calls):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1000)
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(0, selectors.EVENT_READ, None)
        self.task_of: dict[int, Task] = {}
        self.pending: dict[socket.socket, Waiting] = {}
        self.deadlines: list[tuple[float, int, Waiting]] = []
        self.number = itertools.count()
        # By the numbers that the library has for them; none is 0.
        self.port_calls: list[Any] = [
            None, self.allocate, self.deallocate, self.mod_refs, self.move_member, self.extract,
            self.limits, self.request, self.type, self.special, self.register, self.look_up,
        ]  # fmt: skip

    def run(self) -> None:
        while True:
            timeout = None
            while self.deadlines and self.deadlines[0][2].over:
                heapq.heappop(self.deadlines)
            if self.deadlines:
                timeout = max(0.0, self.deadlines[0][0] - time.monotonic())
            for key, _ in self.selector.select(timeout):
                if key.fileobj == 0:
                    return
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, selectors.EVENT_READ, [None])
                else:
                    self.hear(key.fileobj, key.data)  # type: ignore[arg-type]
            now = time.monotonic()
            while self.deadlines and self.deadlines[0][0] <= now:
                heapq.heappop(self.deadlines)[2].end(RCV_TIMED_OUT)

    def hear(self, connection: socket.socket, data: list[Any]) -> None:
        try:
            message, files, _, _ = socket.recv_fds(connection, LARGEST, 64)
        except ConnectionError:
            message, files = b"", []
        if not message:
            self.hang_up(connection, data[0])
            return
        op, length, *args = REQUEST.unpack_from(message)
        payload = message[REQUEST.size : REQUEST.size + length]
        try:
            self.act(connection, data, op, args, payload, files)
        except Refused as error:
            if error.violation:
                self.violations.append(f"{data[0].label}: {error.violation}")
            for file in files:
                os.close(file)
            self.reply(connection, error.code)
        except Exception as error:
            self.violations.append(f"the fake itself failed: {error!r} in {op} {args}")
            self.reply(connection, 5)

    def act(
        self, connection: socket.socket, data: list[Any], op: int, args: list[int],
        payload: bytes, files: list[int],
    ) -> None:  # fmt: skip
        task: Task = data[0]
        if op == HELLO:
            task = self.task_of.setdefault(args[0], Task(f"process {args[1]}", self))
            task.connections += 1
            data[0] = task
            self.reply(connection, 0)
        elif op == SEND_OP:
            code, returned = self.send(task, payload, files, args[0], args[1])
            if code:
                for file in files:
                    os.close(file)
            self.reply(connection, code, returned)
        elif op == RECEIVE:
            self.begin_receive(connection, task, args)
        elif op == CANCEL:
            waiting = self.pending.get(connection)
            if waiting is not None:
                waiting.end(RCV_INTERRUPTED)
        elif op == PORT:
            call = self.port_calls[args[0]]
            text = [payload] if call in (self.register, self.look_up) else []
            count = {self.register: 3, self.look_up: 1}.get(call, 4)
            self.reply(connection, 0, b"", *call(task, *args[1 : 1 + count], *text))
        elif op == ENTRY:
            entry = Port(memory=files[0], size=args[0], send_rights=1)
            self.reply(connection, 0, b"", self.give_right(task, SEND, entry))
        elif op == MAP:
            place = task.entry(args[0]).target
            if not isinstance(place, Port) or place.memory is None or args[1] > place.size:
                raise Refused(4)
            self.reply(connection, 0, files=(place.memory,))
        elif op == WATCH:
            place = task.entry(args[0]).target
            place.watchers.append(files[0])
            self.show(place) if isinstance(place, Port) else self.show_set(place)
            self.reply(connection, 0)
        elif op == VIOLATION:
            self.violations.append(f"{task.label}: {payload.decode()}")
            self.reply(connection, 0)
        elif op == REPORT:
            self.report(connection, args[0])

    def begin_receive(self, connection: socket.socket, task: Task, args: list[int]) -> None:
        option, room, name, timeout = args[:4]

        def done(code: int, message: bytes, needed: int, files: Any) -> None:
            self.pending.pop(connection, None)
            self.reply(connection, code, message, needed, files=files)
            for file in files:
                os.close(file)

        waiting = self.receive(task, name, option, room, done)
        if waiting is None:
            return
        self.pending[connection] = waiting
        if option & RCV_TIMEOUT:
            if timeout == 0:
                waiting.end(RCV_TIMED_OUT)
                return
            if len(self.deadlines) > 5000:
                self.deadlines = [item for item in self.deadlines if not item[2].over]
                heapq.heapify(self.deadlines)
            deadline = time.monotonic() + timeout / 1000
            heapq.heappush(self.deadlines, (deadline, next(self.number), waiting))

    def reply(
        self, connection: socket.socket, code: int, payload: bytes = b"", *values: int,
        files: Any = (),
    ) -> None:  # fmt: skip
        values = (*values, 0, 0, 0, 0)[:4]
        code = code - (1 << 32) if code >= 1 << 31 else code
        data = REPLY.pack(code, len(payload), *values) + payload
        try:
            if files:
                socket.send_fds(connection, [data], list(files))
            else:
                connection.send(data)
        except OSError:
            pass  # it was killed; its connection will tell

    def hang_up(self, connection: socket.socket, task: Task | None) -> None:
        self.selector.unregister(connection)
        waiting = self.pending.pop(connection, None)
        if waiting is not None:
            waiting.over = True
            waiting.place.waiting.remove(waiting)
        connection.close()
        if task is not None:
            task.connections -= 1
            if not task.connections:
                self.task_of = {k: t for k, t in self.task_of.items() if t is not task}
                self.die(task)

    def report(self, connection: socket.socket, token: int) -> None:
        """Reply with the names of a task, and with the violations since the last report."""
        task = self.task_of.get(token)
        entries: dict[int, Entry] = task.entries if task else {}
        names = {
            f"{name:#x}": [e.receive, e.send, e.once, e.dead, isinstance(e.target, PortSet)]
            for name, e in entries.items()
        }
        violations, self.violations = self.violations, []
        report = {"names": names, "violations": violations[:20]}
        self.reply(connection, 0, json.dumps(report).encode())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    broker = Broker(sys.argv[1])
    print("ready", flush=True)
    broker.run()
    os.unlink(sys.argv[1])
    os.rmdir(os.path.dirname(sys.argv[1]))
