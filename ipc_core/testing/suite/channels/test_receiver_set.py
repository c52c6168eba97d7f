"""Receiver sets: the results of select."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from ipc_core import ChannelClosed, Empty, IpcReceiverSet, IpcSender, MessageReceived
from ipc_core.testing.bag import Bag
from ipc_core.testing.timing import AtLeast
from ipc_core.testing.waiting import BOUND, SOON, collect, eventually

PAIR = ("Patrick Walton", 29)
PERSON = ("Jane Austen", 41)


class TestReceiverSet:
    def test_select(self, bag: Bag) -> None:
        """B5: each message is reported once, under the id of its receiver."""
        (tx0, rx0), (tx1, rx1) = bag.channel(), bag.channel()
        receivers = bag.receiver_set()
        id0, id1 = receivers.add(rx0), receivers.add(rx1)
        tx0.send(PAIR)
        [result] = receivers.select()
        assert isinstance(result, MessageReceived)
        assert (result.id, result.message.to()) == (id0, PAIR)
        tx1.send(PAIR)
        [result] = receivers.select()
        assert isinstance(result, MessageReceived)
        assert (result.id, result.message.to()) == (id1, PAIR)
        tx0.send(PAIR)
        tx1.send(PAIR)
        messages, closed = collect(receivers, 2)
        assert sorted(messages) == [(id0, PAIR), (id1, PAIR)]
        assert closed == []
        with pytest.raises(Empty):
            receivers.try_select()

    def test_try_select(self, bag: Bag) -> None:
        """B6: try_select is Empty, a message, Empty, closed once, and Empty for an empty set."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        with pytest.raises(Empty):
            receivers.try_select()
        tx.send(PERSON)
        [result] = eventually(receivers.try_select)
        assert isinstance(result, MessageReceived)
        assert (result.id, result.message.to()) == (id, PERSON)
        with pytest.raises(Empty):
            receivers.try_select()
        tx.close()
        assert eventually(receivers.try_select) == [ChannelClosed(id)]
        assert len(receivers) == 0
        with pytest.raises(Empty):
            receivers.try_select()

    def test_try_select_timeout(self, bag: Bag) -> None:
        """B7: a timed select waits for all of its time, also on an emptied set, and not longer
        than until something happens."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        _wait_in_vain(receivers)
        tx.send(PERSON)
        started = time.monotonic()
        [result] = receivers.try_select_timeout(BOUND)
        assert isinstance(result, MessageReceived)
        assert (result.id, result.message.to()) == (id, PERSON)
        _wait_in_vain(receivers)
        tx.close()
        assert receivers.try_select_timeout(BOUND) == [ChannelClosed(id)]
        assert time.monotonic() - started < SOON
        _wait_in_vain(receivers)

    def test_never_filled_set(self, bag: Bag) -> None:
        """B7: a set to which nothing was ever added is Empty, after all of the time."""
        receivers = bag.receiver_set()
        with pytest.raises(Empty):
            receivers.try_select()
        _wait_in_vain(receivers)

    def test_iterate_over_select(self, bag: Bag) -> None:
        """D7: five bytes are found by matching on the results of select."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        tx.send(b"12345")
        tx.close()
        assert collect(receivers, 2) == ([(id, b"12345")], [id])

    def test_messages_precede_closed(self, bag: Bag) -> None:
        """I47: three messages and a disconnect are reported in order, and the id never again."""
        tx, rx = bag.channel()
        _, other_rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        receivers.add(other_rx)
        for number in range(3):
            tx.send(number)
        tx.close()
        assert collect(receivers, 4) == ([(id, 0), (id, 1), (id, 2)], [id])
        with pytest.raises(Empty):
            receivers.try_select_timeout(0.01)

    def test_message_before_add(self, bag: Bag) -> None:
        """I48: a message that arrived before the receiver was added is reported."""
        tx, rx = bag.channel()
        tx.send(PAIR)
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        assert collect(receivers, 1) == ([(id, PAIR)], [])

    def test_closed_before_add(self, bag: Bag) -> None:
        """I48: a disconnect before the receiver was added is reported too."""
        tx, rx = bag.channel()
        tx.close()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        assert collect(receivers, 1) == ([], [id])

    def test_ids_are_never_reused(self, bag: Bag) -> None:
        """I49: ids count up from 0 and are not used again, however members come and go."""
        receivers = bag.receiver_set()
        ids = []
        for _ in range(200):
            ends = [bag.channel() for _ in range(5)]
            first = [receivers.add(rx) for _, rx in ends[:3]]
            ends[1][0].close()
            assert collect(receivers, 1) == ([], [first[1]])
            rest = [receivers.add(rx) for _, rx in ends[3:]]
            ids += first + rest
            for id in (first[0], first[2], *rest):
                receivers.remove(id).close()
            for tx, _ in ends:
                tx.close()
        assert ids == list(range(1000))

    def test_ids_are_per_set(self, bag: Bag) -> None:
        """I50: each set counts for itself, and reports only its own."""
        (tx0, rx0), (tx1, rx1) = bag.channel(), bag.channel()
        set0, set1 = bag.receiver_set(), bag.receiver_set()
        assert set0.add(rx0) == set1.add(rx1) == 0
        tx0.send("zero")
        tx1.send("one")
        assert collect(set0, 1) == ([(0, "zero")], [])
        assert collect(set1, 1) == ([(0, "one")], [])

    def test_select_on_an_empty_set(self, bag: Bag) -> None:
        """I51: a select that could only wait for ever raises ValueError instead."""
        receivers = bag.receiver_set()
        with pytest.raises(ValueError, match="empty set"):
            receivers.select()
        tx, rx = bag.channel()
        id = receivers.add(rx)
        tx.close()
        assert receivers.select() == [ChannelClosed(id)]
        with pytest.raises(ValueError, match="empty set"):
            receivers.select()

    @pytest.mark.threads
    def test_select_is_never_empty(self, bag: Bag) -> None:
        """I52: select never returns an empty list, however sends race with it."""
        receivers = bag.receiver_set()
        workers = []
        for _ in range(3):
            tx, rx = bag.channel()
            receivers.add(rx)
            workers.append(bag.thread(_count_and_close, tx, 2000))
        seen: Counter[int] = Counter()
        while len(receivers):
            results = receivers.select()
            assert results
            seen.update(result.id for result in results if isinstance(result, MessageReceived))
        assert seen == {0: 2000, 1: 2000, 2: 2000}
        for worker in workers:
            worker.result()

    def test_order_within_a_member(self, bag: Bag) -> None:
        """I47: with many members and messages, each member's own order is kept."""
        receivers = bag.receiver_set()
        senders = []
        for _ in range(8):
            tx, rx = bag.channel()
            receivers.add(rx)
            senders.append(tx)
        for number in range(100):
            for tx in senders:
                tx.send(number)
        messages, _ = collect(receivers, 800)
        for id in range(8):
            assert [value for member, value in messages if member == id] == list(range(100))


def _wait_in_vain(receivers: IpcReceiverSet) -> None:
    """A select that finds nothing takes all of its time, 10 ms."""
    with AtLeast(0.01), pytest.raises(Empty):
        receivers.try_select_timeout(0.01)


def _count_and_close(tx: IpcSender[int], count: int) -> None:
    with tx:
        for number in range(count):
            tx.send(number)
