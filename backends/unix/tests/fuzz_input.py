"""Attacks made of any bytes: each byte is one choice of a hostile peer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from hostile_peer import (
    CONTINUED,
    GROW,
    SEAL,
    SHRINK,
    SO_PASSPIDFD,
    STRANGE,
    WRITE,
    Peer,
    record,
    token,
)
from ipc_backend_unix import wire

LARGE = (0, 1, 2, 7, 8, 9, 255, 4096, 2**16, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)

_CLASSES = [
    b"cipc_core.channel\n%s\n" % name
    for name in (b"IpcSender", b"IpcReceiver", b"IpcBytesSender", b"IpcBytesReceiver")
] + [b"cipc_core.shared_memory\nIpcSharedMemory\n"]

# The globals named here are never called, so no pickle made of these runs strange code.
_PICKLE_PARTS = [
    *(b"]", b")", b"(", b"a", b"e", b"t", b"\x85", b"\x86", b"\x87", b"N", b"2", b"0", b"1", b"}"),
    *(b"s", b"u", b"\x94", b"b", b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"."),
    b"\x8c\x02ab",
    b"\x95" + bytes(8),
    b"\x8e" + b"\xff" * 7 + b"\x7f",
]


class Choices:
    """The bytes of an input, one after the other; zeros after the last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def byte(self) -> int:
        self._next += 1
        return self._data[self._next - 1] if self.left >= 0 else 0

    @property
    def left(self) -> int:
        return len(self._data) - self._next

    def below(self, count: int) -> int:
        return self.byte() % count

    def number(self) -> int:
        choice = self.byte()
        if choice < 128:
            return choice
        return min(max(0, LARGE[choice % len(LARGE)] + self.below(3) - 1), 2**64 - 1)

    def bytes(self) -> bytes:
        return bytes(self.byte() for _ in range(self.below(24)))


class Arsenal(ExitStack):
    """Descriptors that are the same for every attack."""

    def __init__(self) -> None:
        super().__init__()
        sock, _ = (self.enter_context(end) for end in socket.socketpair())
        peer = self.enter_context(Peer(sock.fileno()))
        self.fds = [make(peer) for make in STRANGE.values()]


class Attack:
    """The attack that an input describes. Only the attacker's errors end it early."""

    def __init__(self, peer: Peer, arsenal: Arsenal, choices: Choices) -> None:
        self._peer = peer
        self._arsenal = arsenal
        self._choices = choices
        self._packets: Sequence[Callable[[], None]] = (
            self._mutated_frame,
            self._honest_frame,
            self._switch,
            self._receiver,
            self._queued,
            self._in_memory,
            lambda: self._peer.packet(self._choices.bytes()),
        )

    def send(self) -> None:
        for _ in range(1 + self._choices.below(3)):
            try:
                self._packets[self._choices.below(len(self._packets))]()
            except OSError:
                return  # the kernel does not carry it

    def pickles(self) -> None:
        """A message with endpoints, and a pickle that refers to them somehow."""
        entries, fds = self._honest_entries()
        body = b"\x80\x05"
        while self._choices.left > 0:
            part = self._choices.below(len(_PICKLE_PARTS) + 8)
            body += _PICKLE_PARTS[part] if part < len(_PICKLE_PARTS) else self._slot()
        self._peer.frame(0, entries, body + b".", fds)

    def _slot(self) -> bytes:
        """An endpoint made from a slot, or from something else."""
        number = self._choices.below(8) - 2
        made = _CLASSES[self._choices.below(len(_CLASSES))] + b")\x81"
        states = [b"J" + struct.pack("<i", number)] * 5 + [b"N", b"]", b""]
        state = states[self._choices.below(len(states))]
        return made + state + b"b" if state else made

    def _mutated_frame(self) -> None:
        entries, fds = self._entries()
        flags = self._choices.byte() & (15 if self._choices.byte() < 200 else 255)
        data = bytearray(wire.pack(flags, entries) + self._choices.bytes())
        for _ in range(self._choices.below(4)):
            at = self._choices.below(len(data))
            data[at] ^= self._choices.byte()
        if self._choices.below(4) == 3:
            del data[self._choices.below(len(data) + 1) :]
        self._peer.packet(bytes(data), fds)

    def _honest_frame(self) -> None:
        entries, fds = self._honest_entries()
        self._peer.frame(0, entries, self._choices.bytes(), fds)

    def _switch(self) -> None:
        fds = [self._log()]
        if self._choices.below(2):
            fds.append(self._queue())
        self._peer.frame(wire.SWITCH, fds=fds)

    def _receiver(self) -> None:
        """A receiver of a channel of the attacker's own, with attacks in it."""
        writer, reader = self._peer.sockets()
        if self._choices.below(4) == 3:
            reader.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
        if self._choices.below(2) and self._choices.left > 0:
            inner = self._peer.enter_context(Peer(writer.fileno()))
            Attack(inner, self._arsenal, self._choices).send()
        fds = [reader.fileno(), self._log(), self._queue()][: 1 + self._choices.below(3)]
        self._peer.attach(2, fds, self._choices.number() if self._choices.below(2) else 0)

    def _queued(self) -> None:
        self._peer.queued(self._choices.below(6), self._queue())

    def _in_memory(self) -> None:
        self._peer.in_memory(self._choices.number(), self._memory(bytes(64 + 40)))

    def _entries(self) -> tuple[list[tuple[int, int, int]], list[int]]:
        entries = [
            (self._choices.below(5), self._choices.below(4), self._choices.number())
            for _ in range(self._choices.below(5))
        ]
        wanted = sum(entry[1] for entry in entries) + (self._choices.below(8) == 7)
        return entries, [self._descriptor() for _ in range(wanted)]

    def _honest_entries(self) -> tuple[list[tuple[int, int, int]], list[int]]:
        entries, fds = [], []
        for _ in range(self._choices.below(5)):
            kind = 1 + self._choices.below(3)
            entries.append((kind, 1, 64 if kind == 3 else 0))
            fds.append(self._peer.memory(bytes(64)) if kind == 3 else self._peer.a_socket())
        return entries, fds

    def _descriptor(self) -> int:
        choice = self._choices.below(len(self._arsenal.fds) + 12)
        if choice < len(self._arsenal.fds):
            return self._arsenal.fds[choice]
        makers: Sequence[Callable[[], int]] = (
            self._peer.a_socket,
            lambda: self._memory(self._choices.bytes()),
            self._log,
            self._queue,
        )
        return makers[choice % 4]()

    def _memory(self, content: bytes) -> int:
        if self._choices.below(2):
            return self._peer.memory(content)
        seals = self._choices.byte() & (SEAL | SHRINK | GROW | WRITE)
        return self._peer.memory(content, min(self._choices.number(), 2**62), seals)

    def _log(self) -> int:
        content = b""
        for number in range(self._choices.below(6)):
            how = self._choices.below(8)
            body = wire.PLAIN + self._choices.bytes()
            if how == 1:
                body = self._choices.bytes()
            elif how == 2:
                body = wire.pack(self._choices.below(8), self._entries()[0])
            elif how >= 3:
                body = wire.pack(0, [(1, 1, 0)] * self._choices.below(4))
            size = self._choices.number() if how == 7 else None
            content += record(body, self._choices.below(4) if how == 6 else number, size)
        if self._choices.below(8) == 7:
            content += self._choices.bytes()
        return self._memory(content) if self._choices.below(4) == 3 else self._peer.memory(content)

    def _queue(self) -> int:
        packets: list[tuple[bytes, Sequence[int]]] = []
        for number in range(self._choices.below(6)):
            how = self._choices.below(8)
            head = token(number if how < 4 else self._choices.below(4))
            if how == 7:
                head = CONTINUED if self._choices.below(3) else self._choices.bytes()
            if how == 6 and self._choices.left > 0:
                packets.append((CONTINUED, [self._queue()]))
            else:
                count = self._choices.below(4)
                packets.append((head, [self._descriptor() for _ in range(count)]))
        return self._peer.queue(*packets)
