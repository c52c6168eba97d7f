"""The time of a small message by steps: each row does more steps of a send and a receive.

All in one thread, against `Pipe`, which does the same work: so the first rows are lower bounds for
the last one.
"""

from __future__ import annotations

import multiprocessing
import pickle
import socket
import time
from collections.abc import Callable

from interleave import Work, main

import ipc_core

MESSAGE = {"id": 17, "name": "job", "values": [1, 2, 3], "ok": True}
ROOM = socket.CMSG_SPACE(253 * 4) if hasattr(socket, "CMSG_SPACE") else 0


def times(step: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - started


def system_calls(count: int) -> float:
    """Make one system call to send and one to receive, ready for descriptors too."""
    data, buffer = pickle.dumps(MESSAGE, 5), bytearray(1 << 16)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send, receive, flags = one.send, other.recvmsg_into, int(socket.MSG_CMSG_CLOEXEC)
    with one, other:

        def step() -> None:
            send(data)
            receive([buffer], ROOM, flags)

        return times(step, count)


def and_pickle(count: int) -> float:
    """Make the system calls, and pickle and unpickle."""
    return system_calls(count) + times(lambda: pickle.loads(pickle.dumps(MESSAGE, 5)), count)


def handles(count: int) -> float:
    """Call the backend, below the core, with bytes."""
    tx, rx = ipc_core.channel()
    data = pickle.dumps(MESSAGE, 5)
    send, receive = tx._handle.send, rx._handle.recv
    with tx, rx:

        def step() -> None:
            send(data)
            receive(None)

        return times(step, count)


def whole(count: int) -> float:
    """Send and receive by the core."""
    tx, rx = ipc_core.channel()
    with tx, rx:

        def step() -> None:
            tx.send(MESSAGE)
            rx.recv()

        return times(step, count)


def theirs(count: int) -> float:
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:

        def step() -> None:
            writer.send(MESSAGE)
            reader.recv()

        return times(step, count)


WORKS = [
    Work(f"small dict in one thread: {name}", ours, theirs, 10_000)
    for name, ours in (
        ("the system calls alone", system_calls),
        ("these and pickle", and_pickle),
        ("the backend, without pickle", handles),
        ("all", whole),
    )
]

if __name__ == "__main__":
    main(WORKS)
