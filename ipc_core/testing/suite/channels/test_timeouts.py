"""Timed waits: their length, and the events that end them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from ipc_core import Disconnected, Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.timing import AtLeast
from ipc_core.testing.waiting import BOUND, SOON, still_waits

HUGE = pytest.param(10**400, id="more than a float")


class TestTimeouts:
    def test_try_recv_timeout(self, bag: Bag) -> None:
        """B28: a timed receive waits for all of its time, and returns at once with a message."""
        person = ("Jacob Kiesel", 25)
        tx, rx = bag.channel()
        with AtLeast(0.05):
            _waited(lambda: rx.try_recv_timeout(0.05))
        tx.send(person)
        started = time.monotonic()
        assert rx.try_recv_timeout(BOUND) == person
        assert time.monotonic() - started < SOON
        with AtLeast(0.05):
            _waited(lambda: rx.try_recv_timeout(0.05))
        tx.close()
        started = time.monotonic()
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        assert time.monotonic() - started < SOON

    @pytest.mark.parametrize("seconds", [0.0004, 0.0011, 0.03])
    def test_full_time(self, bag: Bag, seconds: float) -> None:
        """I43, W15: every timed wait takes all of its time, also less than a millisecond."""
        tx, rx = bag.channel()
        (_, member), (server, _) = bag.channel(), bag.server()
        receivers = bag.receiver_set()
        receivers.add(member)
        for wait in (
            lambda: rx.try_recv_timeout(seconds),
            lambda: rx.recv_many(2, timeout=seconds),
            lambda: receivers.try_select_timeout(seconds),
            lambda: server.accept(seconds),
        ):
            with AtLeast(seconds):
                _waited(wait)
        with AtLeast(seconds):
            assert not tx.wait_closed(seconds)

    def test_zero_polls(self, bag: Bag) -> None:
        """I43: a timeout of 0 polls."""
        tx, rx = bag.channel()
        (_, member), (server, _) = bag.channel(), bag.server()
        receivers = bag.receiver_set()
        receivers.add(member)
        for wait in (
            lambda: rx.try_recv_timeout(0),
            lambda: rx.recv_many(2, timeout=0),
            lambda: receivers.try_select_timeout(0),
            lambda: server.accept(0),
        ):
            assert _waited(wait) < SOON
        assert not tx.wait_closed(0)

    @pytest.mark.parametrize("seconds", [-1, -0.0001, math.nan, -math.inf])
    def test_nonsense_is_refused(self, bag: Bag, seconds: float) -> None:
        """I43: negative numbers and NaN raise ValueError, even if a message waits."""
        tx, rx = bag.channel()
        (_, member), (server, _) = bag.channel(), bag.server()
        receivers = bag.receiver_set()
        receivers.add(member)
        tx.send("waits")
        for wait in (
            lambda: rx.try_recv_timeout(seconds),
            lambda: rx.recv_many(2, timeout=seconds),
            lambda: receivers.try_select_timeout(seconds),
            lambda: server.accept(seconds),
            lambda: tx.wait_closed(seconds),
        ):
            with pytest.raises(ValueError, match="timeout"):
                wait()
        assert rx.recv() == "waits"

    @pytest.mark.threads
    @pytest.mark.parametrize("seconds", [10**10, 1e300, HUGE, math.inf, 25 * 86_400])
    def test_huge_timeouts(self, bag: Bag, seconds: float) -> None:
        """I43, W15: huge timeouts wait, until something happens."""
        tx, rx = bag.channel()
        (member_tx, member), (server, name) = bag.channel(), bag.server()
        receivers = bag.receiver_set()
        receivers.add(member)
        workers = [
            bag.thread(rx.try_recv_timeout, seconds),
            bag.thread(receivers.try_select_timeout, seconds),
            bag.thread(server.accept, seconds),
        ]
        for worker in workers:
            assert still_waits(worker, 0.02)
        tx.send("woken")
        member_tx.send("woken")
        bag.connect(name).send("woken")
        assert workers[0].result() == "woken"
        assert [result.message.to() for result in workers[1].result()] == ["woken"]
        accepted, first = workers[2].result()
        bag.keep(accepted)
        assert first == "woken"
        closing = bag.thread(tx.wait_closed, seconds)
        assert still_waits(closing, 0.02)
        rx.close()
        assert closing.result()

    @pytest.mark.threads
    def test_default_timeout_of_sockets(self, bag: Bag) -> None:
        """I43: a default timeout that a program sets for its sockets does not end waits."""
        socket = pytest.importorskip("socket")
        bag.callback(socket.setdefaulttimeout, socket.getdefaulttimeout())
        socket.setdefaulttimeout(0.01)
        (tx, rx), (server, name) = bag.channel(), bag.server()
        workers = [bag.thread(rx.recv), bag.thread(server.accept)]
        for worker in workers:
            assert still_waits(worker, 0.1)
        tx.send("late")
        assert workers[0].result() == "late"
        bag.connect(name).send("later")
        accepted, first = workers[1].result()
        bag.keep(accepted)
        assert first == "later"
        for number in range(3000):
            tx.send(number)
        assert [rx.recv() for _ in range(3000)] == list(range(3000))

    @pytest.mark.threads
    def test_message_during_a_timed_receive(self, bag: Bag) -> None:
        """I44: a send ends a timed receive long before its time."""
        tx, rx = bag.channel()
        started = time.monotonic()
        worker = bag.thread(rx.try_recv_timeout, BOUND)
        assert still_waits(worker)
        tx.send("in time")
        assert worker.result() == "in time"
        assert time.monotonic() - started < SOON

    @pytest.mark.threads
    def test_disconnect_during_a_timed_receive(self, bag: Bag) -> None:
        """I44: the last sender's close ends a timed receive with Disconnected."""
        tx, rx = bag.channel()
        started = time.monotonic()
        worker = bag.thread(rx.try_recv_timeout, BOUND)
        assert still_waits(worker)
        tx.close()
        with pytest.raises(Disconnected):
            worker.result()
        assert time.monotonic() - started < SOON

    @pytest.mark.threads
    def test_blocking_receive_after_polling(self, bag: Bag) -> None:
        """I45: a blocking receive after a poll really blocks, and gets the message."""
        tx, rx = bag.channel()
        with pytest.raises(Empty):
            rx.try_recv()
        worker = bag.thread(rx.recv)
        assert still_waits(worker)
        tx.send("worth the wait")
        assert worker.result() == "worth the wait"


def _waited(wait: Callable[[], object]) -> float:
    """Return the seconds until Empty was raised."""
    started = time.monotonic()
    with pytest.raises(Empty):
        wait()
    return time.monotonic() - started
