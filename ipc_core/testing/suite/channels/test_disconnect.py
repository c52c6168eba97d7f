"""Disconnects: the ends that count as alive, and how the other end learns that none is left."""

from __future__ import annotations

import gc

import pytest

from ipc_core import BrokenChannelError, ClosedError, Disconnected, Empty
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import drops, requires
from ipc_core.testing.waiting import BOUND

PAIR = ("Patrick Walton", 29)


class TestDisconnect:
    def test_clone_sender_after_receiver_closed(self, bag: Bag) -> None:
        """B34: a sender without a receiver can be cloned."""
        tx, rx = bag.channel()
        rx.close()
        bag.keep(tx.clone())

    def test_transfer_closed_sender(self, bag: Bag) -> None:
        """B35: a sender whose receiver is gone can be sent; it arrives, and is broken."""
        tx, rx = bag.channel()
        rx.close()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(tx)
        received = bag.recv(carrier_rx)
        assert received.wait_closed(BOUND)
        with pytest.raises(BrokenChannelError):
            received.send(1)

    def test_last_clone(self, bag: Bag) -> None:
        """I20: only the last of several clones disconnects."""
        tx, rx = bag.channel()
        for sender in [tx, *(bag.keep(tx.clone()) for _ in range(3))]:
            with pytest.raises(Empty):
                rx.try_recv()
            sender.close()
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)

    def test_disconnected_stays(self, bag: Bag) -> None:
        """I37: a disconnected channel says so each time, to every way of receiving."""
        tx, rx = bag.channel()
        tx.close()
        for receive in (rx.recv, rx.recv, lambda: rx.try_recv_timeout(BOUND), rx.try_recv):
            with pytest.raises(Disconnected):
                receive()

    def test_send_without_receiver(self, bag: Bag) -> None:
        """I22: every send to a channel without a receiver is broken, never Disconnected."""
        tx, rx = bag.channel()
        rx.close()
        assert tx.wait_closed(BOUND)
        for _ in range(3):
            with pytest.raises(BrokenChannelError) as caught:
                tx.send(PAIR)
            assert not isinstance(caught.value, Disconnected)

    def test_send_without_receiver_but_unread_data(self, bag: Bag) -> None:
        """I22: a send raises the same error when the receiver left messages unread."""
        tx, rx = bag.channel()
        tx.send(PAIR)
        tx.send(PAIR)
        rx.close()
        assert tx.wait_closed(BOUND)
        for _ in range(3):
            with pytest.raises(BrokenChannelError):
                tx.send(PAIR)

    @requires(Capability.PROMPT_DISCONNECT)
    def test_prompt(self, bag: Bag) -> None:
        """I22: where disconnects are prompt, both ends learn of them without a wait."""
        tx, rx = bag.channel()
        rx.close()
        with pytest.raises(BrokenChannelError):
            tx.send(PAIR)
        tx, rx = bag.channel()
        tx.close()
        with pytest.raises(Disconnected):
            rx.try_recv()

    def test_wait_closed(self, bag: Bag) -> None:
        """I22: wait_closed is False while there is a receiver, even one that does not read."""
        tx, rx = bag.channel()
        assert not tx.wait_closed(0)
        tx.send(PAIR)
        assert not tx.wait_closed(0.01)
        rx.close()
        assert tx.wait_closed(BOUND)
        assert tx.wait_closed(0)

    def test_undelivered_sender_is_alive(self, bag: Bag) -> None:
        """I23: a sender in an unread message keeps its channel connected until that is dropped."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(tx)
        tx.close()
        with pytest.raises(Empty):
            rx.try_recv_timeout(0.02)
        carrier_rx.close()
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)

    def test_undelivered_receiver_is_alive(self, bag: Bag) -> None:
        """I24: a receiver in an unread message takes messages until that is dropped."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(rx)
        tx.send(PAIR)
        carrier_rx.close()
        assert tx.wait_closed(BOUND)
        with pytest.raises(BrokenChannelError):
            tx.send(PAIR)

    def test_use_after_close(self, bag: Bag) -> None:
        """I32: any use of a closed object raises ClosedError; closing again does nothing."""
        tx, rx = bag.channel()
        rx.close()
        rx.close()
        tx.close()
        tx.close()
        for use in (
            lambda: tx.send(1),
            tx.clone,
            lambda: tx.wait_closed(0),
            rx.recv,
            rx.try_recv,
            lambda: rx.try_recv_timeout(1),
            lambda: rx.recv_many(2),
            lambda: next(iter(rx)),
            rx.fileno,
            lambda: bag.receiver_set().add(rx),
        ):
            with pytest.raises(ClosedError):
                use()
        assert "closed" in repr(tx)
        assert "closed" in repr(rx)

    def test_with(self, bag: Bag) -> None:
        """I32: leaving a `with` block closes, and the other end learns of it."""
        tx, rx = bag.channel()
        with tx as entered:
            assert entered is tx
            tx.send(1)
        assert rx.recv() == 1
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        tx, rx = bag.channel()
        with rx:
            pass
        assert tx.wait_closed(BOUND)

    @drops
    def test_garbage_collection_closes(self, bag: Bag) -> None:
        """I32: dropping the last reference to an endpoint closes it."""
        tx, rx = bag.channel()
        dropped = tx.clone()
        tx.close()
        del dropped
        gc.collect()
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        carrier_tx, carrier_rx = bag.channel()
        tx, rx = bag.channel()
        carrier_tx.send(rx)
        moved = carrier_rx.recv()
        del moved
        gc.collect()
        assert tx.wait_closed(BOUND)
