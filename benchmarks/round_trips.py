"""Bytes to another process and back."""

from __future__ import annotations

import multiprocessing
import time
from functools import partial
from typing import Any

from interleave import Work, child, main, pin

import ipc_core


def echo(
    there: tuple[Any, Any], back: tuple[Any, Any], size: int, cpus: tuple[int, int], count: int
) -> float:
    """Seconds of `count` round trips over two (sender, receiver) pairs."""
    (tx, child_rx), (child_tx, rx) = there, back
    message = bytes(size)

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


def ours(size: int, cpus: tuple[int, int], count: int) -> float:
    return echo(ipc_core.bytes_channel(), ipc_core.bytes_channel(), size, cpus, count)


def theirs(size: int, cpus: tuple[int, int], count: int) -> float:
    there, back = multiprocessing.Pipe(duplex=False), multiprocessing.Pipe(duplex=False)
    return echo(there[::-1], back[::-1], size, cpus, count)


def work(name: str, size: int, cpus: tuple[int, int], count: int, goal: float) -> Work:
    return Work(name, partial(ours, size, cpus), partial(theirs, size, cpus), count, goal=goal)


WORKS = [
    work("16 B round trip, bytes_channel, one core", 16, (0, 0), 1000, 0.65),
    work("1 MiB round trip, bytes_channel, two cores", 1 << 20, (0, 1), 20, 0.12),
]

if __name__ == "__main__":
    main(WORKS)
