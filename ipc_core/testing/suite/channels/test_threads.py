"""Endpoints shared by threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ipc_core import ClosedError, Disconnected
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test
from ipc_core.testing.waiting import SOON, still_waits


@each_test(pytest.mark.threads)
class TestThreads:
    def test_receivers_in_two_threads(self, bag: Bag) -> None:
        """B37, I104: each message goes, whole, to exactly one of two receiving threads."""
        tx, rx = bag.channel()
        workers = [bag.thread(list, rx) for _ in range(2)]
        for number in range(1000):
            tx.send((number, str(number) * 10))
        tx.close()
        taken = [message for worker in workers for message in worker.result()]
        assert sorted(taken) == [(number, str(number) * 10) for number in range(1000)]

    def test_one_sender_in_several_threads(self, bag: Bag) -> None:
        """B38, I17: threads share a sender without a lock; each keeps its own order."""
        tx, rx = bag.channel()
        workers = [bag.thread(_send_numbers, tx, thread, 5000) for thread in range(4)]
        last = [-1] * 4
        for _ in range(4 * 5000):
            thread, number = rx.recv()
            assert number == last[thread] + 1
            last[thread] = number
        for worker in workers:
            worker.result()

    def test_clones_in_several_threads(self, bag: Bag) -> None:
        """I17: threads with a clone each keep their own order too."""
        tx, rx = bag.channel()
        clones = [bag.keep(tx.clone()) for _ in range(4)]
        tx.close()
        workers = [
            bag.thread(_send_numbers, clone, thread, 1000) for thread, clone in enumerate(clones)
        ]
        last = [-1] * 4
        for _ in range(4 * 1000):
            thread, number = rx.recv()
            assert number == last[thread] + 1
            last[thread] = number
        for worker in workers:
            worker.result()

    def test_long_stream(self, bag: Bag) -> None:
        """I16: 100,000 small messages stream from one thread to another, in order."""
        tx, rx = bag.bytes_channel()
        worker = bag.thread(_stream, tx, 100_000)
        for number in range(100_000):
            assert rx.recv() == b"%09d" % number
        worker.result()
        with pytest.raises(Disconnected):
            rx.recv()

    def test_close_wakes_receive(self, bag: Bag) -> None:
        """I105: closing a receiver ends a receive in another thread with ClosedError."""
        for wait in ("recv", "try_recv_timeout", "recv_many"):
            _, rx = bag.channel()
            worker = bag.thread(getattr(rx, wait), *() if wait == "recv" else (100,))
            assert still_waits(worker)
            started = time.monotonic()
            rx.close()
            with pytest.raises(ClosedError):
                worker.result()
            assert time.monotonic() - started < SOON

    def test_close_wakes_every_receive(self, bag: Bag) -> None:
        """I105: closing a receiver ends the receives of all threads."""
        _, rx = bag.channel()
        workers = [bag.thread(rx.recv) for _ in range(3)]
        for worker in workers:
            assert still_waits(worker, 0.02)
        rx.close()
        for worker in workers:
            with pytest.raises(ClosedError):
                worker.result()

    def test_waits_release_the_gil(self, bag: Bag) -> None:
        """I106: while one thread is in any blocking call, another runs on."""
        tx, rx = bag.channel()
        (watched_tx, watched_rx), (member_tx, member) = bag.channel(), bag.channel()
        server, name = bag.server()
        receivers = bag.receiver_set()
        receivers.add(member)
        waits: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
            (rx.recv, lambda: tx.send(1)),
            (lambda: rx.try_recv_timeout(100), lambda: tx.send(1)),
            (receivers.select, lambda: member_tx.send(1)),
            (lambda: receivers.try_select_timeout(100), lambda: member_tx.send(1)),
            (lambda: bag.keep(server.accept()[0]), lambda: bag.connect(name).send(1)),
            (watched_tx.wait_closed, watched_rx.close),
        ]
        for wait, end in waits:
            worker = bag.thread(wait)
            assert still_waits(worker, 0.02)
            count = 0
            while count < 10_000:
                count += 1
            assert worker.is_alive()
            end()
            assert worker.result()

    def test_large_and_small_senders(self, bag: Bag) -> None:
        """I90: a message of 50 MiB and a thousand small ones share a channel, all whole."""
        tx, rx = bag.bytes_channel()
        large = bytes(range(256)) * (50 * 4096)
        small = bag.thread(_stream, bag.keep(tx.clone()), 1000)
        large_sender = bag.thread(tx.send, large)
        received = [rx.recv() for _ in range(1001)]
        small.result()
        large_sender.result()
        numbers = [message for message in received if len(message) == 9]
        assert numbers == [b"%09d" % number for number in range(1000)]
        assert [message for message in received if len(message) != 9] == [large]

    def test_set_of_threads(self, bag: Bag) -> None:
        """B38: a receiver made by one thread is received from by another, and closed by a third."""
        tx, rx = bag.thread(bag.channel).result()
        tx.send("across")
        assert bag.thread(rx.recv).result() == "across"
        bag.thread(rx.close).result()
        with pytest.raises(ClosedError):
            rx.try_recv()


def _send_numbers(tx: Any, thread: int, count: int) -> None:
    for number in range(count):
        tx.send((thread, number))


def _stream(tx: Any, count: int) -> None:
    with tx:
        for number in range(count):
            tx.send(b"%09d" % number)
