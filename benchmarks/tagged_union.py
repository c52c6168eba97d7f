"""A random variant of a tagged union, sent and received in one thread; every message is new."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import variants
from interleave import Work, main

import ipc_core

Make = Callable[[random.Random], Any]


def transfer(sender: Any, receiver: Any, make: Make, count: int) -> float:
    """Return the seconds to send and receive `count` values, without making them."""
    rng = random.Random(count)
    values = [make(rng) for _ in range(count)]
    with sender, receiver:
        started = time.perf_counter()
        received = None
        for value in values:
            sender.send(value)
            received = receiver.recv()
        taken = time.perf_counter() - started
    assert received == values[-1]
    return taken


def ours(make: Make, count: int) -> float:
    return transfer(*ipc_core.channel(), make, count)


def theirs(make: Make, count: int) -> float:
    return transfer(*multiprocessing.Pipe(duplex=False)[::-1], make, count)


WORKS = [
    Work(f"tagged union, {make.__name__}", partial(ours, make), partial(theirs, make), 600)
    for make in (variants.small, variants.medium, variants.fractured, variants.nested)
]

if __name__ == "__main__":
    main(WORKS)
