"""Queues: no limit but memory, and one order."""

from __future__ import annotations

import threading

import pytest

from ipc_core.messages.message import copied
from ipc_core.spi import Backend, Capability, Disconnected, Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires, slow
from ipc_core.testing.payloads import MIB, pattern, same


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


class TestTransportQueue:
    @slow
    @requires(Capability.UNBOUNDED)
    def test_transport_send_never_waits(self, bag: Bag, backend: Backend) -> None:
        """B43: a hundred thousand messages and one of 64 MiB are sent before any is received."""
        tx, rx = bag.os_channel(backend)
        for number in range(100_000):
            tx.send(b"%d" % number)
        tx.send(pattern(64 * MIB))
        tx.send(b"last")
        tx.close()
        for number in range(100_000):
            assert rx.recv(30)[0] == b"%d" % number
        assert same(rx.recv(30)[0], pattern(64 * MIB))
        assert rx.recv(30)[0] == b"last"
        with pytest.raises(Disconnected):
            rx.recv(30)

    @requires(Capability.UNBOUNDED)
    def test_transport_queue_grows_and_shrinks(self, bag: Bag, backend: Backend) -> None:
        """B43: a queue that overflows, is drained in part or in full, and overflows again stays
        in order."""
        tx, rx = bag.os_channel(backend)
        sent = received = 0
        for grow, shrink in (
            (3000, 2000),
            (4000, 4999),
            (1, 1),
            (2500, 100),
            (10, 2410),
            (500, 501),
        ):
            for _ in range(grow):
                tx.send(b"%d" % sent)
                sent += 1
            for _ in range(shrink):
                assert rx.recv(30)[0] == b"%d" % received
                received += 1
        assert sent == received
        with pytest.raises(Empty):
            rx.recv(0)

    @pytest.mark.parametrize("count", [10, 800, 20_000])
    @requires(Capability.UNBOUNDED)
    def test_transport_order_with_clones(self, bag: Bag, backend: Backend, count: int) -> None:
        """B67: a sender and its clones keep one order, however much is unread."""
        tx, rx = bag.os_channel(backend)
        senders = [tx, bag.keep(tx.clone())]
        for number in range(count):
            senders[number % 2].send(b"%d" % number)
        assert [rx.recv(30)[0] for _ in range(count)] == numbers(count)

    @pytest.mark.parametrize("count", [10, 800, 20_000])
    @requires(Capability.UNBOUNDED)
    def test_transport_received_sender_comes_after_its_giver(
        self, bag: Bag, backend: Backend, count: int
    ) -> None:
        """B40: messages of a received sender come after all that its giver had sent."""
        tx, rx = bag.os_channel(backend)
        outer_tx, outer_rx = bag.os_channel(backend)
        for number in range(count):
            tx.send(b"%d" % number)
        outer_tx.send(b"", [tx])
        _, (given,) = bag.os_recv(outer_rx)
        for number in range(100):
            given.send(b"given %d" % number)
        assert [rx.recv(30)[0] for _ in range(count)] == numbers(count)
        assert [rx.recv(30)[0] for _ in range(100)] == [b"given %d" % n for n in range(100)]

    @pytest.mark.threads
    def test_transport_concurrent_senders(self, bag: Bag, backend: Backend) -> None:
        """B67: large messages of clones in three threads are not interleaved."""
        tx, rx = bag.os_channel(backend)
        sending = [
            bag.thread(bag.keep(tx.clone()).send, pattern(MIB, 13, number << 4))
            for number in range(3)
        ]
        seen = []
        for _ in sending:
            data = bag.os_recv(rx)[0]
            seen.append(data[0] >> 4)
            assert same(data, pattern(MIB, 13, seen[-1] << 4))
        for thread in sending:
            thread.result()
        assert sorted(seen) == [0, 1, 2]
        with pytest.raises(Empty):
            rx.recv(0)

    @pytest.mark.threads
    def test_transport_sender_is_sync(self, bag: Bag, backend: Backend) -> None:
        """B94: threads share one sender; every message arrives once, each thread's in order."""
        tx, rx = bag.os_channel(backend)
        start = threading.Barrier(4)

        def send(thread: int) -> None:
            start.wait(10)
            for number in range(2000):
                tx.send([bytes([thread]), b"%d" % number, bytes(number % 7 * 1000)])

        sending = [bag.thread(send, thread) for thread in range(4)]
        following = [0] * 4
        for _ in range(4 * 2000):
            data = copied(rx.recv(30)[0])
            thread, number = data[0], following[data[0]]
            assert data[1:] == b"%d" % number + bytes(number % 7 * 1000)
            following[thread] += 1
        assert following == [2000] * 4
        for worker in sending:
            worker.result()

    @pytest.mark.threads
    def test_transport_each_message_has_one_receiver(self, bag: Bag, backend: Backend) -> None:
        """B93: threads share one receiver; each message goes to one of them, in order."""
        tx, rx = bag.os_channel(backend)

        def receive() -> list[int]:
            mine = []
            while True:
                try:
                    mine.append(int(copied(rx.recv(None)[0])))
                except Disconnected:
                    return mine

        receiving = [bag.thread(receive) for _ in range(4)]
        for number in range(10_000):
            tx.send(b"%d" % number)
        tx.close()
        received = [thread.result() for thread in receiving]
        assert all(mine == sorted(mine) for mine in received)
        assert sorted(number for mine in received for number in mine) == list(range(10_000))
