"""Programs of processes that are killed, stopped, or share an end with their parent."""

from __future__ import annotations

import time
from typing import Any

from ipc_core import Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.payloads import MIB, pattern
from ipc_core.testing.programs import _meet
from ipc_core.testing.waiting import BOUND

LARGE = pattern(10 * MIB)
VERY_LARGE = pattern(50 * MIB)
EACH = 100
"""Messages that each of many children sends."""

POLLS = 2_000
SHARED_WAIT = 1.0
"""Seconds that each of two processes waits for one message."""


def hold(name: str) -> None:
    """Do nothing with the inherited objects until told to go."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        to_parent.send("holding")
        from_parent.recv()


def send_large(name: str) -> None:
    """Send large messages, two ahead of those that the parent has received, with a sender of the
    parent's."""
    with Bag() as bag:
        _, from_parent = _meet(bag, name)
        tx = bag.recv(from_parent)
        tx.send(("child", LARGE))
        while True:
            tx.send(("child", LARGE))
            from_parent.recv()


def send_very_large(name: str) -> None:
    """Send one very large message, announced by a word."""
    with Bag() as bag:
        _, from_parent = _meet(bag, name)
        tx = bag.recv(from_parent)
        tx.send("it comes")
        tx.send(VERY_LARGE)
        from_parent.recv()


def receive_once(name: str) -> None:
    """Receive one message with a receiver of the parent's; close it when told to."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        rx = bag.recv(from_parent)
        rx.recv()
        to_parent.send("received")
        from_parent.recv()
        rx.close()
        from_parent.recv()


def pass_on(name: str) -> None:
    """Send a received sender over the other received sender, and exit."""
    with Bag() as bag:
        _, from_parent = _meet(bag, name)
        reply_to, onward = from_parent.recv()
        bag.keep(onward).send(bag.keep(reply_to))


def reply(name: str) -> None:
    """Answer with a received sender when told to."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        reply_to = bag.recv(from_parent)
        to_parent.send("got it")
        from_parent.recv()
        reply_to.send("the answer")


def send_each(tx: Any, who: int) -> None:
    """Send numbers with an inherited sender, and leave."""
    for number in range(EACH):
        tx.send((who, number))


def poll_shared(rx: Any, name: str) -> None:
    """Poll an inherited receiver in vain when told to, and say so."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        from_parent.recv()
        for _ in range(POLLS):
            _expect_nothing(rx)
        to_parent.send("polled")
        from_parent.recv()


def _expect_nothing(rx: Any) -> None:
    try:
        raise AssertionError(f"{rx.try_recv()!r} came from nowhere")
    except Empty:
        pass


def wait_shared(rx: Any, name: str) -> None:
    """Wait with an inherited receiver, and report the result."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        to_parent.send("waiting")
        to_parent.send(timed_wait(rx))
        from_parent.recv()


def timed_wait(rx: Any) -> tuple[list[Any], float]:
    """Return the message that arrives within SHARED_WAIT, if any, and the seconds it took."""
    started = time.monotonic()
    try:
        received = [rx.try_recv_timeout(SHARED_WAIT)]
    except Empty:
        received = []
    assert time.monotonic() - started < BOUND
    return received, time.monotonic() - started
