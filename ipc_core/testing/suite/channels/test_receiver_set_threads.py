"""Receiver sets used by several threads."""

from __future__ import annotations

import queue

import pytest

from ipc_core import (
    ClosedError,
    IpcError,
    IpcReceiverSet,
    MessageReceived,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.waiting import BOUND, collect, still_waits

PAIR = ("Patrick Walton", 29)


class TestReceiverSetThreads:
    @pytest.mark.threads
    def test_select_in_two_threads(self, bag: Bag) -> None:
        """I60: two threads that select share the messages; each goes to exactly one."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        taken: queue.Queue[object] = queue.Queue()
        workers = [bag.thread(_select_into, receivers, taken) for _ in range(2)]
        for number in range(1000):
            tx.send(number)
        values = [taken.get(timeout=BOUND) for _ in range(1000)]
        receivers.close()
        for worker in workers:
            with pytest.raises(ClosedError):
                worker.result()
        assert taken.empty()
        assert sorted(values) == list(range(1000))  # type: ignore[type-var]

    @pytest.mark.threads
    def test_add_during_select(self, bag: Bag) -> None:
        """I60: a receiver added while another thread selects is waited for as well."""
        _, rx = bag.channel()
        tx, late_rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        worker = bag.thread(receivers.select)
        assert still_waits(worker)
        id = receivers.add(late_rx)
        tx.send(PAIR)
        [result] = worker.result()
        assert (result.id, result.message.to()) == (id, PAIR)

    @pytest.mark.threads
    def test_remove_during_select(self, bag: Bag) -> None:
        """I60: removing the last member ends another thread's select, which was for ever."""
        _, rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        worker = bag.thread(receivers.select)
        assert still_waits(worker)
        bag.keep(receivers.remove(id))
        with pytest.raises(ValueError, match="empty set"):
            worker.result()

    @pytest.mark.threads
    @pytest.mark.parametrize("how", ["removed", "closed"])
    def test_two_selects_end_with_the_last_member(self, bag: Bag, how: str) -> None:
        """I60: when the last member leaves a set, in either way, no thread's select stays."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        workers = [bag.thread(_select_for_ever, receivers) for _ in range(2)]
        for worker in workers:
            worker.wait_until_asleep()
        if how == "removed":
            bag.keep(receivers.remove(id))
        else:
            tx.close()
        for worker in workers:
            with pytest.raises(ValueError, match="empty set"):
                worker.result()

    @pytest.mark.threads
    def test_wake_before_the_first_member(self, bag: Bag) -> None:
        """I60: wake ends a wait on a set to which nothing was ever added; the set works on."""
        receivers = bag.receiver_set()
        worker = bag.thread(receivers.wait)
        assert still_waits(worker)
        receivers.wake()
        assert worker.result() == []
        tx, rx = bag.channel()
        id = receivers.add(rx)
        tx.send(PAIR)
        assert collect(receivers, 1) == ([(id, PAIR)], [])

    @pytest.mark.threads
    def test_add_of_a_receiver_in_use(self, bag: Bag) -> None:
        """I60: a receiver on which another thread waits cannot be added, and stays as it was."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        worker = bag.thread(rx.recv)
        worker.wait_until_asleep()
        assert still_waits(worker)
        with pytest.raises(IpcError, match="thread"):
            receivers.add(rx)
        assert len(receivers) == 0
        tx.send(PAIR)
        assert worker.result() == PAIR
        id = receivers.add(rx)
        tx.send("member")
        assert collect(receivers, 1) == ([(id, "member")], [])

    @pytest.mark.threads
    def test_close_during_select(self, bag: Bag) -> None:
        """I105: closing a set wakes a select in another thread with ClosedError."""
        _, rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        worker = bag.thread(receivers.select)
        assert still_waits(worker)
        receivers.close()
        with pytest.raises(ClosedError):
            worker.result()


def _select_for_ever(receivers: IpcReceiverSet) -> None:
    while True:
        receivers.select()


def _select_into(receivers: IpcReceiverSet, taken: queue.Queue[object]) -> None:
    while True:
        for result in receivers.select():
            assert isinstance(result, MessageReceived)
            taken.put(result.message.to())
