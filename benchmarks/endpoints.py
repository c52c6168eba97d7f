"""Endpoints in messages, against Connections in messages over Connections.

Lists of endpoints bounce within one process: sent, received, and sent again.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import resource_sharer
from typing import Any

from interleave import Work, child, descriptors, main, pin

import ipc_core

ONE_CORE, TWO_CORES = (0, 0), (0, 1)
ACK = b"closed"

Make = Callable[[], tuple[Any, Any]]
"""A maker of a sender and a receiver."""


def hand_over(
    there: tuple[Any, Any], end: Any, ack: tuple[Any, Any], cpus: tuple[int, int], count: int
) -> float:
    """Return the seconds in which `end` is handed over `count` times.

    Another process sends it; here it is received, closed and acknowledged.
    """
    (sender, receiver), (ack_tx, ack_rx) = there, ack

    def give() -> None:
        receiver.close()
        ack_tx.close()
        for _ in range(count + 1):
            sender.send(end)
            ack_rx.recv()
        resource_sharer.stop()

    with receiver, ack_tx, child(give, cpus[1]):
        sender.close()
        ack_rx.close()
        end.close()
        pin(cpus[0])
        try:
            receiver.recv().close()
            started = time.perf_counter()
            for _ in range(count):
                ack_tx.send(ACK)
                receiver.recv().close()
            taken = time.perf_counter() - started
            ack_tx.send(ACK)
        finally:
            pin(None)
    return taken


def pipe() -> tuple[Any, Any]:
    return multiprocessing.Pipe(duplex=False)[::-1]


OURS, THEIRS = (ipc_core.channel,) * 3, (pipe,) * 3


def hand_over_by(makes: Sequence[Make], cpus: tuple[int, int], count: int) -> float:
    """Hand over with new channels: one to be sent, one to carry it, one to acknowledge it."""
    make_end, make_carrier, make_ack = makes
    end, other = make_end()
    with other:
        return hand_over(make_carrier(), end, make_ack(), cpus, count)


def our_empty(count: int) -> float:
    return to_and_fro(*ipc_core.channel(), count)


def their_empty(count: int) -> float:
    return to_and_fro(*pipe(), count)


def to_and_fro(sender: Any, receiver: Any, count: int) -> float:
    """Return the seconds of `count` messages, each received before the next is sent."""
    with sender, receiver:
        started = time.perf_counter()
        for _ in range(count):
            sender.send(None)
            receiver.recv()
        return time.perf_counter() - started


def kept(pair: tuple[Any, Any], keep: int) -> Any:
    """Close one end of a channel and return the other, the one at index `keep`."""
    pair[1 - keep].close()
    return pair[keep]


def bounce(make: Make, keep: int, size: int, count: int) -> float:
    """Return the seconds in which a list of ends is sent and received `count` times.

    `make` returns (sender, receiver), and `keep` is the index of the one that is in the list.
    """
    sender, receiver = make()
    with sender, receiver:
        ends = [kept(make(), keep) for _ in range(size)]
        started = time.perf_counter()
        for _ in range(count):
            sender.send(ends)
            ends = receiver.recv()
        taken = time.perf_counter() - started
        assert len(ends) == size
    for end in ends:
        end.close()
    return taken


def our_bounce(keep: int, size: int, count: int) -> float:
    before = descriptors()
    taken = bounce(ipc_core.channel, keep, size, count)
    assert descriptors() <= before, "descriptors leak"
    return taken


WORKS = [
    # First, because it forks: sending Connections starts a thread.
    *(
        Work(f"an endpoint to another process, {where}",
             partial(hand_over_by, OURS, cpus), partial(hand_over_by, THEIRS, cpus),
             100, "Connection", 0.15)
        for where, cpus in (("one core", ONE_CORE), ("two cores", TWO_CORES))
    ),
    Work("an empty message, one thread", our_empty, their_empty, 1000),
    *(
        Work(f"a list of {size} {kind}", partial(our_bounce, keep, size),
             partial(bounce, pipe, keep, size), 200 // (size + 1), "Connection")
        for keep, kind in enumerate(("senders", "receivers"))
        for size in (0, 1, 8, 64)
    ),
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
