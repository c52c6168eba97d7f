"""Messages sent as fast as they go from one process to another."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from interleave import Work, child, main, pin

import ipc_core

MESSAGE = {"id": 17, "name": "job", "args": [1, 2, 3], "ok": True}
MEBIBYTE = bytes(1 << 20)


def stream(sender: Any, receiver: Any, message: object, cpus: tuple[int, int], count: int) -> float:
    """Return the seconds from the first received message to the last, of `count + 1`."""

    def produce() -> None:
        receiver.close()
        for _ in range(count + 1):
            sender.send(message)

    recv = receiver.recv
    with receiver, child(produce, cpus[0]):
        sender.close()
        pin(cpus[1])
        try:
            recv()
            started = time.perf_counter()
            for _ in range(count):
                recv()
            return time.perf_counter() - started
        finally:
            pin(None)


def ours(
    make: Callable[[], tuple[Any, Any]], message: object, cpus: tuple[int, int], count: int
) -> float:
    return stream(*make(), message, cpus, count)


def theirs(message: object, cpus: tuple[int, int], count: int) -> float:
    reader, writer = multiprocessing.Pipe(duplex=False)
    return stream(writer, reader, message, cpus, count)


WORKS = [
    *(
        Work(f"small dict streamed, {where}", partial(ours, ipc_core.channel, MESSAGE, cpus),
             partial(theirs, MESSAGE, cpus), 4000, goal=0.8)
        for where, cpus in (("one core", (0, 0)), ("two cores", (0, 1)))
    ),
    Work("1 MiB streamed, bytes_channel", partial(ours, ipc_core.bytes_channel, MEBIBYTE, (0, 1)),
         partial(theirs, MEBIBYTE, (0, 1)), 40, goal=0.3),
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
