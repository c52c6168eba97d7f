"""Receiver sets: members, ownership, threads and results that nobody reads."""

from __future__ import annotations

import gc
import threading

import pytest

from ipc_core import (
    BrokenChannelError,
    ChannelClosed,
    ClosedError,
    DecodeError,
    Empty,
    IpcReceiver,
    IpcSender,
    MessageReceived,
    MovedError,
)
from ipc_core.spi import Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import BOUND, collect

PAIR = ("Patrick Walton", 29)


class TestReceiverSetMembers:
    @pytest.mark.threads
    def test_fair(self, bag: Bag) -> None:
        """I53, W35: a channel that is flooded does not starve another."""
        (flood_tx, flood_rx), (tx, rx) = bag.channel(), bag.channel()
        receivers = bag.receiver_set()
        receivers.add(flood_rx)
        id = receivers.add(rx)
        stop = threading.Event()
        flooding = threading.Event()
        flood = bag.thread(_flood, flood_tx, flooding, stop)
        try:
            assert flooding.wait(BOUND)
            receivers.select()
            tx.send(PAIR)
            found = any(
                result.id == id for _ in range(1000) for result in receivers.try_select_timeout(1)
            )
        finally:
            stop.set()
        flood.result()
        assert found

    def test_close_closes_members(self, bag: Bag) -> None:
        """I56: closing a set of fifty receivers breaks all of their channels."""
        receivers = bag.receiver_set()
        senders = []
        for _ in range(50):
            tx, rx = bag.channel()
            receivers.add(rx)
            senders.append(tx)
        assert len(receivers) == 50
        receivers.close()
        for tx in senders:
            assert tx.wait_closed(BOUND)
            with pytest.raises(BrokenChannelError):
                tx.send(PAIR)

    def test_closed_set(self, bag: Bag) -> None:
        """I32: a closed set says so; closing again does nothing; leaving `with` closes."""
        tx, rx = bag.channel()
        with bag.receiver_set() as receivers:
            receivers.add(rx)
        receivers.close()
        _, other_rx = bag.channel()
        for use in (
            receivers.select,
            receivers.try_select,
            lambda: receivers.try_select_timeout(1),
            lambda: receivers.add(other_rx),
        ):
            with pytest.raises(ClosedError):
                use()
        assert tx.wait_closed(BOUND)
        assert len(receivers) == 0

    @requires(Capability.SHARED_MEMORY)
    def test_unread_results_leak_nothing(self, bag: Bag) -> None:
        """I57: messages that are dropped without decoding free their attachments."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        (sub_tx, sub_rx), region = bag.channel(), bag.region(b"region")
        tx.send((sub_tx, region))
        assert len(receivers.select()) == 1
        gc.collect()
        before = descriptors()
        for _ in range(1000):
            tx.send((sub_tx, region))
            assert len(receivers.select()) == 1
        gc.collect()
        assert descriptors() == before
        sub_tx.close()
        with pytest.raises(EOFError):
            sub_rx.try_recv_timeout(BOUND)

    def test_close_of_a_result(self, bag: Bag) -> None:
        """I57: closing a message frees its attachments at once; it cannot be decoded any more."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        sub_tx, sub_rx = bag.channel()
        tx.send(sub_rx)
        [result] = receivers.select()
        assert isinstance(result, MessageReceived)
        result.message.close()
        result.message.close()
        assert sub_tx.wait_closed(BOUND)
        with pytest.raises(MovedError):
            result.message.to()

    def test_decode_twice(self, bag: Bag) -> None:
        """I58: the second decoding of a message says that it was decoded already."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        tx.send(PAIR)
        [result] = receivers.select()
        assert isinstance(result, MessageReceived)
        assert result.message.to() == PAIR
        with pytest.raises(MovedError, match="already"):
            result.message.to()

    def test_results_show_themselves(self, bag: Bag) -> None:
        """I59: a closed result has no message and shows its id; a long message shows briefly."""
        closed = ChannelClosed(7)
        with pytest.raises(AttributeError):
            closed.message  # type: ignore[attr-defined]  # noqa: B018
        assert "7" in repr(closed)
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        receivers.add(rx)
        tx.send(b"\x00" * 10_240)
        [result] = receivers.select()
        assert len(repr(result)) < 400
        assert "10" in repr(result)

    def test_member_is_moved(self, bag: Bag) -> None:
        """I60: a receiver in a set is moved: adding it twice or receiving from it says so."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        for use in (lambda: receivers.add(rx), rx.recv, rx.try_recv, rx.fileno):
            with pytest.raises(MovedError, match="set"):
                use()
        rx.close()
        tx.send(PAIR)
        assert collect(receivers, 1) == ([(id, PAIR)], [])

    def test_remove(self, bag: Bag) -> None:
        """I60: remove gives a receiver back with its queue; its id is not in the set."""
        (tx, rx), (_, stays_rx) = bag.channel(), bag.channel()
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        receivers.add(stays_rx)
        tx.send(PAIR)
        back = bag.keep(receivers.remove(id))
        assert isinstance(back, IpcReceiver)
        assert len(receivers) == 1
        with pytest.raises(KeyError):
            receivers.remove(id)
        assert back.recv() == PAIR
        tx.send("later")
        with pytest.raises(Empty):
            receivers.try_select()
        assert back.recv() == "later"

    def test_received_receiver(self, bag: Bag) -> None:
        """I61: a receiver that arrived in a message can be added, and brings its queue."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        tx.send(PAIR)
        carrier_tx.send(rx)
        receivers = bag.receiver_set()
        id = receivers.add(bag.recv(carrier_rx))
        tx.close()
        assert collect(receivers, 2) == ([(id, PAIR)], [id])

    def test_bad_message_keeps_its_member(self, bag: Bag, backend: Backend) -> None:
        """I39: a message that does not decode spoils neither its receiver nor the others."""
        forged_tx, rx = bag.forged_channel(backend)
        receivers = bag.receiver_set()
        id = receivers.add(rx)
        forged_tx.send(b"not a pickle")
        [result] = receivers.select()
        assert isinstance(result, MessageReceived)
        with pytest.raises(DecodeError):
            result.message.to()
        forged_tx.send(b"N.")
        assert collect(receivers, 1) == ([(id, None)], [])


def _flood(tx: IpcSender[object], flooding: threading.Event, stop: threading.Event) -> None:
    while not stop.is_set():
        tx.send("flood")
        flooding.set()
