"""Descriptors that travel: closed exactly once in both processes, in success and failure."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

import ipc_core
from ipc_core import Disconnected, Empty, EncodeError, MessageReceived, Router
from ipc_core.spi import Backend, Capability
from ipc_core.testing import programs
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import drops, each_test, requires
from ipc_core.testing.payloads import MIB, pattern, same
from ipc_core.testing.states import wait_until
from ipc_core.testing.suite.channels.test_reentrancy import Unsendable
from ipc_core.testing.waiting import BOUND

ROUNDS = pytest.mark.parametrize(
    ("rounds", "senders", "size"), [(10_000, 1, 1), (1000, 20, 1), (500, 1, MIB)]
)


KEPT = 10
"""Descriptors that an endpoint may keep for its next message, as a sender does with memory."""


@contextmanager
def level_here() -> Iterator[None]:
    """Assert that the block leaves no descriptor open but a few that endpoints keep."""
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() <= before + KEPT


def ended(rx: ipc_core.IpcReceiver[Any]) -> bool:
    """Whether every sender is gone; those on cycles go with the next garbage collection."""
    gc.collect()
    ipc_core.channel()[0].close()  # a kernel collects when an endpoint is closed
    try:
        rx.try_recv()
    except Disconnected:
        return True
    except Empty:
        return False
    return False


@each_test(drops)
class TestDescriptors:
    @ROUNDS
    def test_many_messages_with_senders(
        self, bag: Bag, rounds: int, senders: int, size: int
    ) -> None:
        """I81: thousands of messages with senders in them leave no descriptor behind."""
        tx, rx = bag.channel()
        sub_tx, sub_rx = bag.channel()
        payload = pattern(size)
        with level_here():
            for number in range(rounds):
                tx.send((number, payload, [sub_tx.clone() for _ in range(senders)]))
                arrived, data, received = rx.recv()
                assert arrived == number
                assert same(data, payload)
                assert len(received) == senders
                received[-1].send(number)
                assert sub_rx.recv() == number
                del received
        sub_tx.close()
        with pytest.raises(Disconnected):
            sub_rx.recv()

    @requires(Capability.CROSS_PROCESS)
    @ROUNDS
    def test_many_messages_with_senders_to_another_process(
        self, bag: Bag, children: Children, rounds: int, senders: int, size: int
    ) -> None:
        """I81, I82: senders sent to another process leave no descriptor behind in either."""
        _, (tx, rx) = programs.meet(bag, children, programs.count_descriptors)
        sub_tx, sub_rx = bag.channel()
        payload = pattern(size)
        before = rx.recv()
        with level_here():
            for number in range(rounds):
                tx.send((payload, [sub_tx] * senders))
                if number % 100 == 99:
                    assert rx.recv() == "read"
            tx.send(None)
            assert rx.recv() <= before
        sub_tx.close()
        with pytest.raises(Disconnected):
            sub_rx.try_recv_timeout(BOUND)

    @requires(Capability.CROSS_PROCESS)
    @pytest.mark.parametrize("size", [1, MIB], ids=["small", "large"])
    @pytest.mark.parametrize("count", [63, 64, 65, 100, 253, 254, 1000])
    def test_many_attachments_to_another_process(
        self, bag: Bag, children: Children, count: int, size: int
    ) -> None:
        """I82, I83, W5, W6: more senders than a packet carries arrive, and each works."""
        bag.allow_descriptors(2 * count + 200)
        _, (tx, rx) = programs.meet(bag, children, programs.answer_each)
        ends = [bag.channel() for _ in range(count)]
        tx.send((pattern(size), [sender for sender, _ in ends]))
        assert rx.recv() == size
        for number, (_, receiver) in enumerate(ends):
            assert receiver.try_recv_timeout(BOUND) == number

    def test_failed_sends(self, bag: Bag) -> None:
        """I81, W2, W39: a thousand failed sends with endpoints leave them usable, and out of the
        next message."""
        tx, rx = bag.channel()
        moved_tx, moved_rx = bag.channel()
        with level_here():
            for _ in range(1000):
                with pytest.raises(EncodeError):
                    tx.send([moved_tx, moved_rx, Unsendable()])
        tx.send("next")
        assert rx.recv() == "next"
        moved_tx.send("here")
        assert moved_rx.recv() == "here"
        moved_tx.close()
        with pytest.raises(Disconnected):
            moved_rx.recv()

    def test_sends_to_a_receiver_that_is_gone(self, bag: Bag) -> None:
        """I81, I107, W41: a thousand sends without a receiver leave no descriptor behind."""
        tx, rx = bag.channel()
        moved_tx, moved_rx = bag.channel()
        rx.close()
        assert tx.wait_closed(BOUND)
        with level_here():
            for _ in range(1000):
                with pytest.raises(ipc_core.BrokenChannelError):
                    tx.send([moved_tx, moved_rx, b""])
        moved_tx.send("here")
        assert moved_rx.recv() == "here"

    def test_messages_nobody_reads(self, bag: Bag) -> None:
        """I81, W17: unread messages give up their endpoints when their receiver goes."""
        sub_tx, sub_rx = bag.channel()
        with level_here():
            for size in (1, MIB):
                for count in (1, 300):
                    tx, rx = bag.channel()
                    tx.send((pattern(size), [sub_tx] * count, bag.channel()[1]))
                    rx.close()
                    tx.close()
        sub_tx.close()
        wait_until(lambda: ended(sub_rx), "the senders in unread messages are gone")

    def test_messages_nobody_decodes(self, bag: Bag, backend: Backend) -> None:
        """I81, W17: a thousand messages with endpoints to a receiver of bytes, and a thousand
        results of a select that are dropped."""
        tx, rx = bag.forged_channel(backend)
        bytes_rx = bag.keep(bag.keep(rx.to_opaque()).to_bytes())
        sub_tx, sub_rx = bag.os_channel(backend)
        with level_here():
            for _ in range(1000):
                tx.send(b"bytes", [sub_tx])
                assert bytes_rx.recv() == b"bytes"
            receivers = bag.receiver_set()
            receivers.add(bytes_rx.to_opaque())
            for _ in range(1000):
                tx.send(b"bytes", [sub_tx])
                (result,) = receivers.select()
                assert type(result) is MessageReceived
            receivers.close()
            del result
        sub_tx.close()
        with pytest.raises(Disconnected):
            sub_rx.recv(BOUND)

    @pytest.mark.threads
    def test_messages_after_a_one_shot_route(self, bag: Bag, router: Router) -> None:
        """W18: senders in messages that come after a one-shot route had its one are closed, and
        other routes are served."""
        tx, rx = bag.channel()
        other_tx, other_rx = bag.channel()
        sub_tx, sub_rx = bag.channel()
        got: SimpleQueue[Any] = SimpleQueue()
        for number in range(101):
            tx.send((number, sub_tx))
        router.add_one_shot_route(rx, lambda message: got.put(message[0]))
        router.add_route(other_rx, got.put)
        assert got.get(timeout=BOUND) == 0
        tx.close()
        other_tx.send("other")
        assert got.get(timeout=BOUND) == "other"
        sub_tx.close()
        with pytest.raises(Disconnected):
            sub_rx.try_recv_timeout(BOUND)

    def test_same_sender_is_one_attachment(self, bag: Bag, backend: Backend) -> None:
        """W38: three references to a sender cost one handle."""
        tx, rx = bag.os_channel(backend)
        sub_tx, _ = bag.channel()
        bag.keep(ipc_core.IpcSender[Any](tx.clone(), backend)).send([sub_tx] * 3)
        assert len(bag.os_recv(rx)[1]) == 1

    def test_held_messages_are_small(self, bag: Bag) -> None:
        """W40: a small message that is kept keeps no large buffer."""
        tx, rx = bag.bytes_channel()
        held = []
        tracemalloc.start()
        try:
            for number in range(10_000):
                tx.send(b"%d" % number)
                held.append(rx.recv())
            assert tracemalloc.get_traced_memory()[0] < 5_000_000
        finally:
            tracemalloc.stop()

    @requires(Capability.FREES_RINGS)
    @pytest.mark.parametrize("which", ["sender", "receiver", "both"])
    def test_channel_sent_through_itself(self, bag: Bag, which: str) -> None:
        """I81: a channel whose ends are in its own queue is freed once nobody can reach it."""
        watched_tx, watched_rx = bag.channel()
        with level_here():
            for _ in range(20):
                tx, rx = bag.channel()
                both: dict[str, Any] = {"sender": tx, "receiver": rx}
                ends = list(both.values()) if which == "both" else [both[which]]
                tx.send([watched_tx.clone(), *ends])
                tx.close()
                rx.close()
                del tx, rx, both, ends
        watched_tx.close()
        wait_until(lambda: ended(watched_rx), "what is in the cycle is freed")

    @requires(Capability.FREES_RINGS)
    def test_channels_that_hold_each_other(self, bag: Bag) -> None:
        """I81: two channels with each other's receiver in their queues are freed."""
        watched_tx, watched_rx = bag.channel()
        with level_here():
            for _ in range(20):
                (tx1, rx1), (tx2, rx2) = bag.channel(), bag.channel()
                tx1.send([watched_tx, rx2])
                tx2.send([watched_tx, rx1])
                tx1.close()
                tx2.close()
        watched_tx.close()
        wait_until(lambda: ended(watched_rx), "what is in the cycle is freed")

    def test_thousand_channels_in_a_set(self, bag: Bag, backend: Backend) -> None:
        """I54, I55: descriptors far above 1024; every channel's message comes, each once."""
        bag.allow_descriptors(4500)
        receivers = bag.keep(backend.receiver_set())
        files = [open(os.devnull) for _ in range(1100)]  # noqa: SIM115
        try:
            senders = []
            for id in range(1000):
                sender, receiver = bag.os_channel(backend)
                receivers.add(receiver, id)
                senders.append(sender)
        finally:
            for file in files:
                file.close()
        for wanted in (range(0, 1000, 10), range(1000)):
            for id in wanted:
                senders[id].send(b"%d" % id)
            got: list[int] = []
            while len(got) < len(wanted):
                for id, data, _ in receivers.select(BOUND):
                    assert data == b"%d" % id
                    got.append(id)
            assert sorted(got) == list(wanted)
