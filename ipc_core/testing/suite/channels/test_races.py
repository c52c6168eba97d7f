"""Closing objects in use by other threads, while new endpoints take over their descriptors."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import ipc_core
from ipc_core import (
    BrokenChannelError,
    ClosedError,
    Disconnected,
    Empty,
    IpcError,
    MessageReceived,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test
from ipc_core.testing.waiting import BOUND

ROUNDS = 300


def until_closed(use: Callable[[], object], done: list[object]) -> None:
    """Call again and again, collecting the results, until the endpoint is closed."""
    while True:
        try:
            done.append(use())
        except ClosedError:
            return


class Decoys:
    """Channels opened right after a close, so that they get the descriptors that were freed; each
    holds a message that must reach nobody else."""

    def __init__(self, count: int) -> None:
        self._channels = [ipc_core.channel() for _ in range(count)]
        for tx, _ in self._channels:
            tx.send("decoy")

    def close(self) -> None:
        """Close the channels; their messages must be there, and no others."""
        for tx, rx in self._channels:
            assert rx.recv() == "decoy"
            tx.close()
            with pytest.raises(Disconnected):
                rx.recv()
            rx.close()


@each_test(pytest.mark.usefixtures("many_switches"))
@each_test(pytest.mark.threads)
class TestRaces:
    def test_race_eight_senders_eight_receivers(self, bag: Bag) -> None:
        """I104, I17: between 8 sending and 8 receiving threads each message arrives exactly once;
        those of one sender reach each receiver in order."""
        tx, rx = bag.channel()

        def send(who: int) -> None:
            with tx.clone() as clone:
                for number in range(500):
                    clone.send((who, number))

        receiving = [bag.thread(list, rx) for _ in range(8)]
        sending = [bag.thread(send, who) for who in range(8)]
        for worker in sending:
            worker.result()
        tx.close()
        taken: Counter[tuple[int, int]] = Counter()
        for worker in receiving:
            messages = worker.result()
            for who in range(8):
                mine = [number for sender, number in messages if sender == who]
                assert mine == sorted(mine)
            taken.update(messages)
        assert taken == Counter((who, number) for who in range(8) for number in range(500))

    @pytest.mark.parametrize("how", ["recv", "try_recv_timeout", "recv_many"])
    def test_race_close_and_receive(self, bag: Bag, how: str) -> None:
        """I105: a receiver closed while two threads receive on it: they get its own messages or
        ClosedError, never another channel's."""
        arguments = {"recv": (), "try_recv_timeout": (BOUND,), "recv_many": (4, BOUND)}[how]
        for _ in range(ROUNDS):
            tx, rx = ipc_core.channel()
            got: list[Any] = []
            workers = [
                bag.thread(until_closed, lambda: getattr(rx, how)(*arguments), got)  # noqa: B023
                for _ in range(2)
            ]
            tx.send("own")
            rx.close()
            decoys = Decoys(2)
            for worker in workers:
                worker.result()
            decoys.close()
            tx.close()
            assert got in ([], ["own"], [["own"]])

    def test_race_close_and_send(self, bag: Bag) -> None:
        """I32: a sender closed while two threads send with it: accepted messages went to its own
        channel, the rest is refused."""
        for _ in range(ROUNDS):
            tx, rx = ipc_core.channel()
            sent: list[object] = []
            workers = [bag.thread(until_closed, lambda: tx.send("own"), sent) for _ in range(2)]  # noqa: B023
            assert rx.recv() == "own"
            tx.close()
            decoys = Decoys(2)
            for worker in workers:
                worker.result()
            assert len(list(rx)) == len(sent) - 1
            decoys.close()
            rx.close()

    def test_race_close_receiver_and_send(self, bag: Bag) -> None:
        """I22, I32: a receiver closed while threads send: they learn it, and nothing is sent
        elsewhere."""
        for _ in range(ROUNDS):
            tx, rx = ipc_core.channel()

            def send(tx: Any = tx) -> None:
                while True:
                    tx.send("own")

            workers = [bag.thread(send) for _ in range(2)]
            assert rx.recv() == "own"
            rx.close()
            decoys = Decoys(2)
            for worker in workers:
                with pytest.raises(BrokenChannelError):
                    worker.result()
            decoys.close()
            tx.close()

    def test_race_close_and_select(self, bag: Bag) -> None:
        """I60: a set closed while two threads select on it: they get its members' messages or
        ClosedError."""
        for _ in range(ROUNDS):
            tx, rx = ipc_core.channel()
            members = ipc_core.IpcReceiverSet()
            members.add(rx)
            got: list[Any] = []
            workers = [bag.thread(until_closed, members.wait, got) for _ in range(2)]
            tx.send("own")
            members.close()
            decoys = Decoys(3)
            for worker in workers:
                worker.result()
            decoys.close()
            tx.close()
            messages = [result.message.to() for results in got for result in results]
            assert messages in ([], ["own"])

    def test_race_remove_and_select(self, bag: Bag) -> None:
        """I49, I60: members come, are removed and closed while another thread selects: it raises
        nothing, and each message is there or here, never twice."""
        members = bag.receiver_set()
        _, stays = bag.channel()
        members.add(stays)
        stop = threading.Event()
        there: list[Any] = []

        def select() -> None:
            while not stop.is_set():
                results = members.wait(BOUND)
                there.extend(r.message.to() for r in results if isinstance(r, MessageReceived))

        worker = bag.thread(select)
        sent: list[Any] = []
        here: list[Any] = []
        for number in range(ROUNDS):
            tx, rx = ipc_core.channel()
            messages = [(number, i) for i in range(3)]
            id = members.add(rx)
            for message in messages:
                tx.send(message)
            tx.close()
            try:
                back: Any = members.remove(id)
            except KeyError:  # all was selected, and the end
                sent += messages
                continue
            if number % 2:
                sent += messages
                here += back
            back.close()
        stop.set()
        members.wake()
        worker.result()
        taken = Counter(there + here)
        assert max(taken.values()) == 1
        assert not set(sent) - set(taken)

    def test_race_close_and_move(self, bag: Bag) -> None:
        """I32: a receiver that one thread sends and another closes is there and works, or sending
        it raised and nothing was sent."""
        carrier_tx, carrier_rx = bag.channel()
        for _ in range(ROUNDS):
            tx, rx = ipc_core.channel()
            tx.send("queued")
            start = threading.Barrier(2)

            def close(rx: Any = rx, start: threading.Barrier = start) -> None:
                start.wait(BOUND)
                rx.close()

            worker = bag.thread(close)
            start.wait(BOUND)
            try:
                carrier_tx.send(rx)
            except IpcError:
                worker.result()
                with pytest.raises(Empty):
                    carrier_rx.try_recv()
            else:
                worker.result()
                moved = carrier_rx.recv()
                tx.send("later")
                assert [moved.recv(), moved.recv()] == ["queued", "later"]
                moved.close()
            tx.close()
