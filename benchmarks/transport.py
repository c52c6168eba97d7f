"""The backend's own channels, without the core: no objects, only bytes."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from functools import partial

from interleave import Work, main

from ipc_core.plugins import choice

# The largest message in bytes that a pipe surely takes before it is read.
ONE_THREAD = 32 << 10
SIZES = [2**power for power in range(24)]
PATTERN = bytes(range(251))


def our_channels(count: int) -> float:
    backend = choice.backend()
    started = time.perf_counter()
    for _ in range(count):
        for end in backend.channel():
            end.close()
    return time.perf_counter() - started


def their_channels(count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        for end in multiprocessing.Pipe(duplex=False):
            end.close()
    return time.perf_counter() - started


def transfer(
    send: Callable[[bytes], object], recv: Callable[[], int], size: int, count: int
) -> float:
    """Return the seconds of `count` messages; each large one is sent by a thread of its own.

    `recv` returns the number of received bytes.
    """
    data = (PATTERN * (size // len(PATTERN) + 1))[:size]
    started = time.perf_counter()
    for _ in range(count):
        thread = None
        if size <= ONE_THREAD:
            send(data)
        else:
            thread = threading.Thread(target=send, args=(data,))
            thread.start()
        received = recv()
        if thread:
            thread.join()
        assert received == size
    return time.perf_counter() - started


def our_transfers(size: int, count: int) -> float:
    sender, receiver = choice.backend().channel()
    taken = transfer(sender.send, lambda: len(receiver.recv(None)[0]), size, count)
    sender.close()
    receiver.close()
    return taken


def their_transfers(size: int, count: int) -> float:
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:
        return transfer(writer.send_bytes, lambda: len(reader.recv_bytes()), size, count)


def shown(size: int) -> str:
    for unit in ("B", "KiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} MiB"


WORKS = [
    Work("a channel made and closed", our_channels, their_channels, 200),
    *(
        Work(f"transport of {shown(size)}", partial(our_transfers, size),
             partial(their_transfers, size), min(500, (16 << 20) // size), "Pipe bytes")
        for size in SIZES
    ),
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
