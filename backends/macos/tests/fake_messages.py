"""The queues of the fake kernel, in which messages are sent, wait, and are received.

No I/O but to memory files.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from fake_ports import (
    COMPLEX,
    HEADER,
    RCV_INVALID_NAME,
    RCV_LARGE,
    RCV_TOO_LARGE,
    RECEIVE,
    SEND,
    SEND_INVALID_DEST,
    SEND_INVALID_RIGHT,
    SEND_NOTIFY,
    SEND_POSSIBLE,
    SEND_TIMED_OUT,
    SEND_TIMEOUT,
    SEND_TOO_SMALL,
    SUCCESS,
    TRAILER_SENDER,
    Message,
    Port,
    PortSet,
    Refused,
    Task,
    Waiting,
)
from fake_rights import Rights


class Kernel(Rights):
    def enqueue(self, message: Message) -> None:
        port = message.dest
        port.queue.append(message)
        self.serve(port)
        self.show(port)

    def serve(self, port: Port) -> None:
        """Give messages to the receives that wait for them."""
        for place in (port, port.member_of):
            while place is not None and place.waiting and port.queue:
                waiting = place.waiting.popleft()
                waiting.over = True
                waiting.done(*self.dequeue(port, waiting))

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

    def send(self, task: Task, raw: bytes, files: list[int], option: int, timeout: int) -> Any:
        """Return a code, and the bytes of a message that is returned."""
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

    def receive(self, task: Task, name: int, option: int, room: int, done: Any) -> Waiting | None:
        """Call `done` with a message now, or return the receive that waits for one."""
        entry = task.entries.get(name)
        if entry is None or not (entry.receive or isinstance(entry.target, PortSet)):
            raise Refused(RCV_INVALID_NAME, f"a receive on {name:#x}")
        place = entry.target
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
        """Return the message of a send that failed, as if it had been received."""
        raw = bytearray(message.raw)
        remote = self.give_right(task, message.dest_kind, message.dest)
        local = self.give_right(task, message.reply_kind, message.reply)
        bits = HEADER.unpack_from(raw)[0] & COMPLEX
        bits |= message.dest_kind | message.reply_kind << 8
        HEADER.pack_into(raw, 0, bits, len(raw), remote, local, 0, message.id)
        self.put_rights(raw, message, task)
        return bytes(raw)
