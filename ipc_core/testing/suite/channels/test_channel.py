"""Typed channels inside one process: messages, order, clones."""

from __future__ import annotations

import pytest

from ipc_core import Disconnected, Empty
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import eventually

PAIR = ("Patrick Walton", 29)


class TestChannel:
    def test_simple(self, bag: Bag) -> None:
        """B1: a message arrives; without senders the next receive is Disconnected."""
        tx, rx = bag.channel()
        tx.send(PAIR)
        assert rx.recv() == PAIR
        tx.close()
        with pytest.raises(Disconnected):
            rx.recv()

    def test_disconnect_non_empty_channel(self, bag: Bag) -> None:
        """B2: messages that were accepted precede the disconnect."""
        tx, rx = bag.channel()
        tx.send(PAIR)
        tx.close()
        assert rx.recv() == PAIR
        with pytest.raises(Disconnected):
            rx.recv()

    def test_hello(self, bag: Bag) -> None:
        """D1: a text arrives."""
        tx, rx = bag.channel()
        tx.send("Hello, World!")
        assert rx.recv() == "Hello, World!"

    def test_blocking_receive(self, bag: Bag) -> None:
        """D3: a long text arrives by a blocking receive."""
        text = "It was a dark and stormy night; the rain fell in torrents. " * 40
        tx, rx = bag.channel()
        tx.send(text)
        assert rx.recv() == text

    def test_polling(self, bag: Bag) -> None:
        """D4: polling until something arrives yields it."""
        tx, rx = bag.channel()
        tx.send("I am waiting")
        assert eventually(rx.try_recv) == "I am waiting"

    def test_try_recv(self, bag: Bag) -> None:
        """B27: try_recv is Empty, a message, Empty, and Disconnected once the sender is gone."""
        tx, rx = bag.channel()
        with pytest.raises(Empty):
            rx.try_recv()
        tx.send(PAIR)
        assert eventually(rx.try_recv) == PAIR
        with pytest.raises(Empty):
            rx.try_recv()
        tx.close()
        with pytest.raises(Disconnected):
            eventually(rx.try_recv)

    def test_linger(self, bag: Bag) -> None:
        """B32: a message survives its sender, which is closed at once."""
        tx, rx = bag.channel()
        tx.send(42)
        tx.close()
        assert rx.recv() == 42

    def test_iteration(self, bag: Bag) -> None:
        """B2: iteration yields every message and ends with the disconnect."""
        tx, rx = bag.channel()
        for number in range(5):
            tx.send(number)
        tx.close()
        assert list(rx) == [0, 1, 2, 3, 4]

    def test_recv_many(self, bag: Bag) -> None:
        """B27: recv_many takes the messages that are there, at most as many as asked for."""
        tx, rx = bag.channel()
        for number in range(5):
            tx.send(number)
        tx.close()
        first = rx.recv_many(3)
        assert first == [0, 1, 2][: len(first)]
        assert first
        while len(first) < 5:
            first += rx.recv_many(5)
        assert first == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="at least 1"):
            rx.recv_many(0)

    @requires(Capability.UNBOUNDED)
    def test_sends_never_wait(self, bag: Bag) -> None:
        """I18: 10,000 sends are accepted while nobody receives; then all arrive in order."""
        tx, rx = bag.channel()
        for number in range(10_000):
            tx.send(number)
        tx.close()
        assert list(rx) == list(range(10_000))

    def test_clones_cost_nothing(self, bag: Bag) -> None:
        """I21: 10,000 clones take at most one more descriptor, and all work."""
        tx, rx = bag.channel()
        before = descriptors()
        clones = [bag.keep(tx.clone()) for _ in range(10_000)]
        assert descriptors() <= before + 1
        tx.close()
        clones[0].send("first")
        clones[-1].send("last")
        assert [rx.recv(), rx.recv()] == ["first", "last"]

    def test_order_of_a_sender_and_its_clones(self, bag: Bag) -> None:
        """I17: a sender and its clones in one thread keep the order of the sends."""
        tx, rx = bag.channel()
        senders = [tx, *(bag.keep(tx.clone()) for _ in range(3))]
        for number in range(400):
            senders[number % 4].send(number)
        assert [rx.recv() for _ in range(400)] == list(range(400))
