"""A peer that speaks the unix backend's protocol, or something like it, by hand."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

from ipc_backend_unix import wire
from ipc_backend_unix.descriptors import Socket, pair, send_packet
from ipc_backend_unix.overflow import _RECORD

from ipc_core.messages.message import copied
from ipc_core.spi import (
    DecodeError,
    Disconnected,
    Empty,
    IpcIOError,
    Kind,
    OsIpcReceiver,
    OsIpcSender,
)

F_ADD_SEALS = 1033
SEAL, SHRINK, GROW, WRITE = 1, 2, 4, 8
SO_PASSPIDFD = 76

LAST = b"the next message"
"""The message of an honest sender after the attack."""

MEMORY_ROOM = 192 << 20
SECONDS = 10.0
"""Seconds for an action that takes milliseconds, on a busy machine."""


class Peer(ExitStack):
    """The attacker's end of a channel, and everything it opened for the attack."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.sock = self.enter_context(socket.socket(fileno=os.dup(fd)))

    @classmethod
    def beside(cls, tx: OsIpcSender) -> Peer:
        """At the sending end of a channel that others send in too."""
        return cls(tx._writer.sock.fileno())  # type: ignore[attr-defined]

    def own(self, fd: int) -> int:
        self.callback(os.close, fd)
        return fd

    def packet(self, data: bytes, fds: Sequence[int] = ()) -> None:
        send_packet(self.sock, [data], fds)  # type: ignore[arg-type]

    def frame(
        self,
        flags: int = 0,
        entries: Sequence[tuple[int, int, int]] = (),
        payload: bytes = b"",
        fds: Sequence[int] = (),
    ) -> None:
        self.packet(wire.pack(flags, list(entries)) + payload, fds)

    def in_memory(self, size: int, fd: int) -> None:
        """A payload of `size` bytes that is said to be in `fd`."""
        self.frame(wire.IN_MEMORY, payload=wire.SIZE.pack(size), fds=[fd])

    def attach(self, kind: int, fds: Sequence[int], number: int = 0) -> None:
        """A message with one attachment."""
        self.frame(0, [(kind, len(fds), number)], b"payload", fds)

    def queued(self, count: int, queue: int) -> None:
        """A message with `count` senders whose descriptors are said to be in `queue`."""
        self.frame(wire.QUEUED, [(1, 1, 0)] * count, b"payload", [queue])

    def switch(self, log: bytes, *queue: int) -> None:
        self.frame(wire.SWITCH, fds=[self.memory(log), *queue])

    def memory(self, content: bytes = b"", size: int = 0, seals: int = 0) -> int:
        fd = self.own(os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.write(fd, content)
        if size:
            os.ftruncate(fd, size)
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
        return fd

    def sockets(self) -> tuple[Socket, Socket]:
        one, other = (self.enter_context(closing(end)) for end in pair())
        return one, other

    def queue(self, *packets: tuple[bytes, Sequence[int]]) -> int:
        """A descriptor queue that holds these packets, and whose writer stays."""
        writer, reader = self.sockets()
        for head, fds in packets:
            send_packet(writer, [head], fds)
        return reader.fileno()

    def a_socket(self) -> int:
        return self.sockets()[0].fileno()


class Attacked(NamedTuple):
    """A channel with an attacker among its senders."""

    tx: OsIpcSender
    rx: OsIpcReceiver
    peer: Peer

    def check_usable(self) -> None:
        """Check that the other senders' messages arrive, with their attachments."""
        self.tx.send(LAST, [self.tx])
        outcomes(lambda: self.rx.recv(5), LAST)


def token(number: int) -> bytes:
    return wire.SIZE.pack(number)


CONTINUED = token(2**64 - 1)


def record(body: bytes, number: int = 1, size: int | None = None) -> bytes:
    """A record of a log, which may lie about its size."""
    return _RECORD.pack(len(body) if size is None else size, number) + body


PLAIN_RECORD = record(wire.PLAIN + b"in the log")


def _file(peer: Peer, flags: int) -> int:
    fd, path = tempfile.mkstemp()
    os.write(fd, b"x" * 5000)
    os.close(fd)
    try:
        return peer.own(os.open(path, flags | os.O_CLOEXEC))
    finally:
        os.unlink(path)


def _fifo(peer: Peer) -> int:
    """An open end of a pipe with a name: reads of it block while somebody may write."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(f"{folder}/fifo")
        return peer.own(os.open(f"{folder}/fifo", os.O_RDWR | os.O_CLOEXEC))


def _socket(family: int, kind: int, listening: bool = False) -> Callable[[Peer], int]:
    def make(peer: Peer) -> int:
        found = peer.enter_context(socket.socket(family, kind))
        if listening:
            found.bind("" if family == socket.AF_UNIX else ("127.0.0.1", 0))
            found.listen()
        return found.fileno()

    return make


def _reopened(flags: int) -> Callable[[Peer], int]:
    """A second description of a memfd with contents, opened with other rights."""

    def make(peer: Peer) -> int:
        return peer.own(os.open(f"/proc/self/fd/{peer.memory(b'm' * 5000)}", flags | os.O_CLOEXEC))

    return make


def _tmpfs(peer: Peer) -> int:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(bytes(5000))
        file.flush()
        return peer.own(os.dup(file.fileno()))


def _pipe(peer: Peer) -> tuple[int, int]:
    reading, writing = os.pipe()
    return peer.own(reading), peer.own(writing)


def _pty(peer: Peer) -> int:
    controller, terminal = os.openpty()
    peer.own(terminal)
    return peer.own(controller)


STRANGE: dict[str, Callable[[Peer], int]] = {
    "directory": lambda peer: peer.own(os.open("/", os.O_RDONLY | os.O_CLOEXEC)),
    "zero": lambda peer: peer.own(os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC)),
    "null": lambda peer: peer.own(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)),
    "random": lambda peer: peer.own(os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)),
    "pipe": lambda peer: _pipe(peer)[0],
    "pipe's other end": lambda peer: _pipe(peer)[1],
    "fifo": _fifo,
    "terminal": _pty,
    "epoll": lambda peer: peer.enter_context(select.epoll()).fileno(),
    "eventfd": lambda peer: peer.own(os.eventfd(1)),
    "process": lambda peer: peer.own(os.pidfd_open(os.getpid())),
    "tcp": _socket(socket.AF_INET, socket.SOCK_STREAM),
    "tcp listener": _socket(socket.AF_INET, socket.SOCK_STREAM, listening=True),
    "udp": _socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix stream": _socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "unix datagram": _socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    "unconnected": _socket(socket.AF_UNIX, socket.SOCK_SEQPACKET),
    "listener": _socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, listening=True),
    "file": lambda peer: _file(peer, os.O_RDWR),
    "path": lambda peer: _file(peer, os.O_PATH),
    "path of memory": _reopened(os.O_PATH),
    "memory to read": _reopened(os.O_RDONLY),
    "memory to write": _reopened(os.O_WRONLY),
    "own memory": lambda peer: peer.own(os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)),
    "tmpfs file": _tmpfs,
    "sealed seals": lambda peer: peer.memory(b"s" * 5000, seals=SEAL),
    "empty memory": lambda peer: peer.memory(),
    "sparse memory": lambda peer: peer.memory(size=2**62),
    "a channel": Peer.a_socket,
}
"""Descriptors of every type, to be sent as something else."""


@contextmanager
def bounded() -> Iterator[None]:
    """Check that little memory and little time are taken inside."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as statm:
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_ROOM, limits[1]))
    started = time.monotonic()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert time.monotonic() - started < SECONDS


def mapped(payload: Any) -> bytes:
    """The payload as a codec that trusts its peer reads it."""
    return payload if isinstance(payload, bytes) else bytes(payload.map())


def outcomes(
    recv: Callable[[], tuple[Any, Sequence[Any]]],
    last: bytes,
    read: Callable[[Any], bytes] = copied,
) -> list[Any]:
    """Return the payloads received until the message `last`, and the classes of errors."""
    seen: list[Any] = []
    while len(seen) < 1000:
        try:
            payload, attachments = recv()
            data = read(payload)
        except (DecodeError, IpcIOError) as error:
            seen.append(type(error))
            continue
        for attachment in attachments:
            use(attachment)
        if data == last:
            return seen
        seen.append(data)
    raise AssertionError(f"endless: {seen[-10:]}")


def use(handle: Any, most: int = 500) -> None:
    """Use an attacker's endpoint or region as usual, and close it."""
    try:
        if handle.kind is Kind.SHARED_MEMORY:
            bytes(handle.buffer[:100])
        while handle.kind is Kind.RECEIVER:
            most -= 1
            assert most, "endless"
            try:
                _, attachments = handle.recv(0)
            except DecodeError:
                continue
            for attachment in attachments:
                use(attachment, most)
    except (Empty, Disconnected, IpcIOError):
        pass
    finally:
        handle.close()
