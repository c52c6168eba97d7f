"""The time of work between two processes by layers: each row goes one layer further up.

On one core, against `multiprocessing`, which always does all of it: so the first rows are lower
bounds for the last one.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from endpoints import ONE_CORE, OURS, THEIRS, Make, hand_over_by
from interleave import Work, main
from round_trips import echo, theirs
from small_message import ROOM

import ipc_core

MESSAGE = bytes(16)


class End:
    """An end of a channel that runs only the lower layers of a send or a receive."""

    def __init__(self, whole: Any, call: Callable[..., Any]) -> None:
        self.send = self.recv = call
        self.close = whole.close

    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None:
        self.close()


def sockets() -> tuple[End, End]:
    """Make a pair with one system call to send and one to receive, ready for descriptors too."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    buffers, flags = [bytearray(1 << 16)], int(socket.MSG_CMSG_CLOEXEC)
    start, receive = memoryview(buffers[0])[: len(MESSAGE)], other.recvmsg_into

    def received() -> bytes:
        receive(buffers, ROOM, flags)
        return start.tobytes()

    return End(one, one.send), End(other, received)


def sockets_for_sockets() -> tuple[End, End]:
    """Make such a pair with one descriptor in each message."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    buffers, flags = [bytearray(1 << 16)], int(socket.MSG_CMSG_CLOEXEC)

    def send(sock: socket.socket) -> None:
        rights = array.array("i", [sock.fileno()])
        one.sendmsg([MESSAGE], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def received() -> socket.socket:
        _, ((_, _, rights),), _, _ = other.recvmsg_into(buffers, ROOM, flags)
        (fd,) = array.array("i", rights)
        return socket.socket(fileno=fd)

    return End(one, send), End(other, received)


def handles() -> tuple[End, End]:
    """Make a pair that calls the backend, below the core."""
    tx, rx = ipc_core.bytes_channel()
    receive = rx._handle.recv
    return End(tx, tx._handle.send), End(rx, lambda: receive(None)[0])


def handles_for_handles() -> tuple[End, End]:
    """Make such a pair with one endpoint's handle in each message."""
    tx, rx = ipc_core.bytes_channel()
    send, receive = tx._handle.send, rx._handle.recv
    return End(tx, lambda end: send(MESSAGE, [end._handle])), End(rx, lambda: receive(None)[1][0])


def round_trips(make: Make, count: int) -> float:
    return echo(make(), make(), MESSAGE, ONE_CORE, count)


def works() -> Iterator[Work]:
    for name, ours in (
        ("the system calls alone", sockets),
        ("the backend", handles),
        ("all", ipc_core.bytes_channel),
    ):
        yield Work(f"16 B round trip, one core: {name}", partial(round_trips, ours),
                   partial(theirs, MESSAGE, ONE_CORE), 1000)  # fmt: skip
    for name, makes in (
        ("the system calls alone", (socket.socketpair, sockets_for_sockets, sockets)),
        ("the backend", (ipc_core.bytes_channel, handles_for_handles, handles)),
        ("all", OURS),
    ):
        yield Work(f"an endpoint handed over, one core: {name}",
                   partial(hand_over_by, makes, ONE_CORE), partial(hand_over_by, THEIRS, ONE_CORE),
                   100, "Connection")  # fmt: skip


if __name__ == "__main__":
    main(works())
