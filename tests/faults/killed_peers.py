"""Processes killed or stopped while they send or receive on a channel that others use too."""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import ipc_core
from faults import Outcome, crowd, fault
from faults.crowd import SIZES, SPEAKERS, VICTIM, Board, Parcel
from ipc_core import BrokenChannelError, Disconnected, Empty, MessageReceived
from ipc_core.testing.children import Children

WAIT = 3.0
WITHIN = 3.2
"""Seconds that a receive with WAIT as its timeout may take, with the sender killed or not."""

PATIENCE = 20.0
LONGEST_LIFE = {SIZES[0]: 0.02, SIZES[1]: 0.04, SIZES[2]: 0.15}

Receive = Callable[[float], list[bytes]]

_parcel = lru_cache(1)(Parcel)
_large = lru_cache(2)(Parcel)


class Crowd:
    """A channel with three speakers and a nursery of victims; counts arrivals."""

    def __init__(
        self, children: Children, outcome: Outcome, tx: Any, receive: Receive, nursery: Any
    ) -> None:
        self._outcome = outcome
        self._receive = receive
        self.board = Board.new()
        self.orders, self.reports = crowd.meet(children, nursery)
        self.orders.send((tx, self.board.region))
        for who in range(SPEAKERS):
            orders, _ = crowd.meet(children, crowd.speak)
            orders.send((who, tx, self.board.region))
        tx.close()
        self.heard = [0] * SPEAKERS
        self.victims: dict[int, int] = {}

    def hear(self) -> None:
        """Receive a message and check it."""
        with self._outcome.waiting():
            messages = self._receive(WAIT)
        for message in messages:
            known = _large if len(message) in SIZES else _parcel
            who, run, number = known(len(message)).read(message)
            if who == VICTIM:
                assert number == self.victims.setdefault(run, 0)
                self.victims[run] = number + 1
                self.board.note_arrived(VICTIM, number + 1)
            else:
                assert number == self.heard[who]
                self.heard[who] = number + 1
                self.board.note_arrived(who, number + 1)

    def hear_until(self, reached: Callable[[], object]) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > deadline:
                return False
            self.hear()
        return True

    def report(self) -> list[Any]:
        """Return the nursery's report; receive until it comes."""
        reports: list[Any] = []

        def reported() -> bool:
            try:
                reports.append(self.reports.try_recv())
            except Empty:
                return False
            return True

        assert self.hear_until(reported), "the nursery does not answer"
        return reports

    def hear_the_rest(self) -> None:
        """Let the speakers end; all that they sent has to arrive, and then the disconnect."""
        self.board.end()
        self.orders.close()
        try:
            while True:
                self.hear()
        except Disconnected:
            pass
        for who in range(SPEAKERS):
            self._outcome.lost += self.board.returned(who) - self.heard[who]


@contextmanager
def crowd_of(outcome: Outcome, tx: Any, receive: Receive, nursery: Any) -> Iterator[Crowd]:
    with Children() as children:
        them = Crowd(children, outcome, tx, receive, nursery)
        try:
            yield them
            them.hear_the_rest()
        finally:
            them.board.end()
            for closable in (them.board, them.orders, them.reports):
                closable.close()
            _large.cache_clear()


def kill_senders(outcome: Outcome, tx: Any, receive: Receive, after: Callable[[], None]) -> None:
    chance = random.Random(1)
    with crowd_of(outcome, tx, receive, crowd.send_and_die) as them:
        returned: list[int] = []
        for run in range(outcome.runs):
            size = SIZES[run % len(SIZES)]
            them.board.note_returned(VICTIM, 0)
            them.board.note_arrived(VICTIM, 0)
            them.orders.send((run, size, chance.random() * LONGEST_LIFE[size]))
            assert them.report() == [run]
            returned.append(them.board.returned(VICTIM))
            them.hear_until(lambda run=run: them.victims.get(run, 0) >= returned[run])  # type: ignore[misc]
            after()
        before = list(them.heard)
        assert them.hear_until(
            lambda: all(now > then for now, then in zip(them.heard, before, strict=True))
        ), "a sender that lives is not heard any more"
    for run, count in enumerate(returned):
        arrived = them.victims.get(run, 0)
        assert arrived <= count + 1
        outcome.lost += max(0, count - arrived)


@fault("One of four senders is killed at any instant of a send", runs=200, within=WITHIN)
def killed_sender(outcome: Outcome) -> None:
    tx, rx = ipc_core.bytes_channel()
    with rx:
        kill_senders(outcome, tx, lambda timeout: [rx.try_recv_timeout(timeout)], lambda: None)


@fault("The same, and the receiver is in a receiver set", runs=100, within=WITHIN)
def killed_sender_in_a_set(outcome: Outcome) -> None:
    tx, rx = ipc_core.bytes_channel()
    other_tx, other_rx = ipc_core.bytes_channel()
    others = 0
    with other_tx, ipc_core.IpcReceiverSet() as receivers:
        id = receivers.add(rx)
        receivers.add(other_rx)

        def receive(timeout: float) -> list[bytes]:
            nonlocal others
            messages = []
            for result in receivers.try_select_timeout(timeout):
                if not isinstance(result, MessageReceived):
                    raise Disconnected
                if result.id == id:
                    messages.append(result.message.to())
                else:
                    others += 1
            return messages

        def serves_others() -> None:
            other_tx.send(b"served")

        kill_senders(outcome, tx, receive, serves_others)
        outcome.lost += outcome.runs - others


@fault("The same, and a router serves the receiver", runs=100, within=WITHIN)
def killed_sender_of_a_router(outcome: Outcome) -> None:
    tx, rx = ipc_core.bytes_channel()
    other_tx, other_rx = ipc_core.bytes_channel()
    with other_tx, ipc_core.Router() as router:
        messages: queue.Queue[Any] = router.route_to_queue(rx)
        others = router.route_to_queue(other_rx)

        def receive(timeout: float) -> list[bytes]:
            message = messages.get(timeout=timeout)
            if isinstance(message, Disconnected):
                raise message
            return [message]

        def serves_others() -> None:
            other_tx.send(b"served")
            with outcome.waiting():
                others.get(timeout=WAIT)

        kill_senders(outcome, tx, receive, serves_others)


@fault("One of four senders is stopped in a send of 50 MiB, and continued", runs=50, within=WITHIN)
def stopped_sender(outcome: Outcome) -> None:
    chance = random.Random(2)
    tx, rx = ipc_core.bytes_channel()
    stopped = 0
    with (
        rx,
        crowd_of(
            outcome, tx, lambda timeout: [rx.try_recv_timeout(timeout)], crowd.send_and_stop
        ) as them,
    ):
        for run in range(outcome.runs):
            them.orders.send((run, chance.random() * 0.05))
            [in_time] = them.report()
            stopped += in_time and run not in them.victims
            goal = [heard + 20 for heard in them.heard]
            assert them.hear_until(
                lambda goal=goal: all(now >= g for now, g in zip(them.heard, goal, strict=True))  # type: ignore[misc]
            ), "a stopped sender holds up others"
            them.orders.send("go on")
            outcome.lost += not them.hear_until(lambda run=run: run in them.victims)  # type: ignore[misc]
    assert stopped, "no sender was stopped before its message had arrived"


@fault("A receiver is killed: it waited, read, or left messages unread", runs=150, within=1)
def killed_receiver(outcome: Outcome) -> None:
    chance = random.Random(3)
    with ExitStack() as stack:
        children = stack.enter_context(Children())
        orders, reports = crowd.meet(children, crowd.receive_and_die)
        stack.callback(orders.close)
        stack.callback(reports.close)
        for run in range(outcome.runs):
            tx, rx = ipc_core.bytes_channel()
            with tx:
                reads = run % 3 < 2
                orders.send((rx, reads, chance.random() * 0.03))
                assert reports.recv() == "holds it"
                if run % 3 == 0:
                    assert tx.wait_closed(PATIENCE)
                else:
                    _send_until_broken(tx, chance)
                learnt = time.monotonic()
                assert tx.wait_closed(WAIT)
                for size in SIZES[:2]:
                    try:
                        tx.send(bytes(size))
                    except BrokenChannelError:
                        continue
                    raise AssertionError("a send without a receiver succeeds")
                outcome.worst = max(outcome.worst, learnt - reports.recv())


def _send_until_broken(tx: Any, chance: random.Random) -> None:
    """Send all sizes; a dead receiver's unread and overflowed messages do not hide its death."""
    deadline = time.monotonic() + PATIENCE
    messages = [bytes(size) for size in (0, 100, 7000, 30_000, 60_000, crowd.MIB)]
    while time.monotonic() < deadline:
        try:
            tx.send(chance.choice(messages))
        except BrokenChannelError:
            return
    raise AssertionError("sends go on without a receiver")
