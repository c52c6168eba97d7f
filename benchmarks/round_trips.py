"""Round trips of bytes, arrays and regions to another process and back."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from interleave import Work, child, main, pin

import ipc_core

CORES = 0, 1


def echo(
    there: tuple[Any, Any], back: tuple[Any, Any], message: Any, cpus: tuple[int, int], count: int
) -> float:
    """Return the seconds of `count` round trips over two (sender, receiver) pairs."""
    (tx, child_rx), (child_tx, rx) = there, back

    def answer() -> None:
        tx.close()
        rx.close()
        for _ in range(count + 1):
            child_tx.send(child_rx.recv())

    with tx, rx, child(answer, cpus[1]):
        child_tx.close()
        child_rx.close()
        pin(cpus[0])
        try:
            tx.send(message)
            rx.recv()
            started = time.perf_counter()
            for _ in range(count):
                tx.send(message)
                rx.recv()
            return time.perf_counter() - started
        finally:
            pin(None)


def ours(message: Any, cpus: tuple[int, int], count: int) -> float:
    make = ipc_core.bytes_channel if isinstance(message, bytes) else ipc_core.channel
    return echo(make(), make(), message, cpus, count)


def theirs(message: Any, cpus: tuple[int, int], count: int) -> float:
    there, back = multiprocessing.Pipe(duplex=False), multiprocessing.Pipe(duplex=False)
    return echo(there[::-1], back[::-1], message, cpus, count)


def ours_resent(message: bytes, count: int) -> float:
    """Return the seconds of round trips with the same region each time."""
    with ipc_core.IpcSharedMemory.from_bytes(message) as region:
        return ours(region, CORES, count)


def work(name: str, message: Any, cpus: tuple[int, int], count: int, goal: float) -> Work:
    return Work(
        name, partial(ours, message, cpus), partial(theirs, message, cpus), count, goal=goal
    )


def works() -> Iterator[Work]:
    yield work("16 B round trip, bytes_channel, one core", bytes(16), (0, 0), 1000, 0.65)
    yield work("1 MiB round trip, bytes_channel, two cores", bytes(1 << 20), CORES, 20, 0.12)
    large = bytes(16 << 20)
    yield Work("16 MiB of shared memory, resent", partial(ours_resent, large),
               partial(theirs, large, CORES), 4, rounds=9, goal=0.01)  # fmt: skip
    try:
        import numpy as np
    except ImportError:
        return
    array = np.ones(2 << 20)
    yield Work("16 MiB NumPy array round trip", partial(ours, array, CORES),
               partial(theirs, array, CORES), 4, rounds=9, goal=0.1)  # fmt: skip


if __name__ == "__main__":
    main(works())
