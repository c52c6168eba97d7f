"""A small dict, sent as fast as it goes from one process to another, against Pipe(False)."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from typing import Any

from interleave import Comparison, child, compare, pin

import ipc_core

MESSAGE = {"id": 17, "name": "job", "args": [1, 2, 3], "ok": True}
COUNT = 20_000


def stream(send: Callable[[Any], object], recv: Callable[[], Any], cpus: tuple[int, int]) -> float:
    """Seconds from the first received message to the last."""

    def produce() -> None:
        for _ in range(COUNT):
            send(MESSAGE)

    with child(produce, cpus[0]):
        pin(cpus[1])
        try:
            recv()
            started = time.perf_counter()
            for _ in range(COUNT - 1):
                recv()
            return time.perf_counter() - started
        finally:
            pin(None)


def ours(cpus: tuple[int, int]) -> float:
    tx, rx = ipc_core.channel()
    with tx, rx:
        return stream(tx.send, rx.recv, cpus)


def theirs(cpus: tuple[int, int]) -> float:
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:
        return stream(writer.send, reader.recv, cpus)


def run(cpus: tuple[int, int], rounds: int = 7) -> Comparison:
    return compare(lambda: ours(cpus), lambda: theirs(cpus), rounds)


if __name__ == "__main__":
    for cpus in ((0, 0), (0, 1)):
        result = run(cpus)
        where = "one core" if cpus[0] == cpus[1] else "two cores"
        print(
            f"small dict, {where}: {result.ours / COUNT * 1e6:.2f} us, Pipe"
            f" {result.theirs / COUNT * 1e6:.2f} us, ratio {result.ratio:.2f}"
        )
