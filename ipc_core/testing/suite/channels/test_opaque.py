"""Opaque ends: endpoints that forget the type of their messages, and are told it again."""

from __future__ import annotations

from typing import Any

import pytest

from ipc_core import IpcReceiver, IpcSender, MovedError, OpaqueIpcReceiver, OpaqueIpcSender
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import BOUND, collect

PAIR = ("Patrick Walton", 29)


class TestOpaque:
    def test_opaque_sender(self, bag: Bag) -> None:
        """B25: a sender made opaque and back again sends."""
        tx, rx = bag.channel()
        opaque = bag.keep(tx.to_opaque())
        assert type(opaque) is OpaqueIpcSender
        back: IpcSender[Any] = bag.keep(opaque.to())
        assert type(back) is IpcSender
        back.send(PAIR)
        assert rx.recv() == PAIR

    def test_embedded_opaque_senders(self, bag: Bag) -> None:
        """B26: an opaque sender travels, and sends once it is converted back."""
        sub_tx, sub_rx = bag.channel()
        super_tx, super_rx = bag.channel()
        super_tx.send((PAIR, bag.keep(sub_tx.to_opaque())))
        pair, received = super_rx.recv()
        assert type(bag.keep(received)) is OpaqueIpcSender
        bag.keep(received.to()).send(PAIR)
        assert pair == PAIR
        assert sub_rx.recv() == PAIR

    def test_opaque_receiver(self, bag: Bag) -> None:
        """I102: a receiver made opaque and back again yields the messages queued all along."""
        tx, rx = bag.channel()
        tx.send(1)
        opaque = bag.keep(rx.to_opaque())
        assert type(opaque) is OpaqueIpcReceiver
        tx.send(2)
        back: IpcReceiver[Any] = bag.keep(opaque.to())
        assert type(back) is IpcReceiver
        assert [back.recv(), back.recv()] == [1, 2]

    def test_conversion_moves(self, bag: Bag) -> None:
        """I102, I27: converting moves; the original raises MovedError from then on."""
        tx, rx = bag.channel()
        opaque_tx, opaque_rx = bag.keep(tx.to_opaque()), bag.keep(rx.to_opaque())
        back_tx: IpcSender[Any] = bag.keep(opaque_tx.to())
        back_rx: IpcReceiver[Any] = bag.keep(opaque_rx.to())
        for use in (
            lambda: tx.send(1),
            tx.to_opaque,
            rx.recv,
            rx.to_opaque,
            opaque_tx.to,
            opaque_rx.to,
            lambda: bag.receiver_set().add(opaque_rx),
        ):
            with pytest.raises(MovedError):
                use()
        back_tx.send(PAIR)
        assert back_rx.recv() == PAIR

    def test_moved_receiver_cannot_be_converted(self, bag: Bag) -> None:
        """I27: a receiver that was sent cannot be made opaque."""
        _, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(rx)
        bag.recv(carrier_rx)
        with pytest.raises(MovedError):
            rx.to_opaque()

    def test_opaque_receiver_travels(self, bag: Bag) -> None:
        """I102: an opaque receiver travels, moves, and takes its queued messages with it."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        tx.send(1)
        opaque = bag.keep(rx.to_opaque())
        carrier_tx.send({"end": opaque})
        with pytest.raises(MovedError):
            opaque.to()
        received = bag.keep(carrier_rx.recv()["end"])
        tx.send(2)
        back = bag.keep(received.to())
        assert [back.recv(), back.recv()] == [1, 2]

    def test_opaque_receiver_in_a_set(self, bag: Bag) -> None:
        """I102, I61: a set takes opaque receivers; their messages decode as objects."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        opaque = bag.keep(rx.to_opaque())
        id = receivers.add(opaque)
        tx.send(PAIR)
        tx.close()
        assert collect(receivers, 2) == ([(id, PAIR)], [id])
        with pytest.raises(MovedError):
            opaque.to()

    def test_opaque_sender_clones(self, bag: Bag) -> None:
        """I102: an opaque sender is cloned, and its clone keeps the channel connected."""
        tx, rx = bag.channel()
        opaque = bag.keep(tx.to_opaque())
        clone = bag.keep(opaque.clone())
        opaque.close()
        bag.keep(clone.to(tuple)).send(PAIR)
        assert rx.recv() == PAIR

    def test_opaque_bytes_ends(self, bag: Bag) -> None:
        """I102, I42: the ends of a bytes channel are made opaque and back again too."""
        tx, rx = bag.bytes_channel()
        back_tx = bag.keep(bag.keep(tx.to_opaque()).to_bytes())
        back_rx = bag.keep(bag.keep(rx.to_opaque()).to_bytes())
        back_tx.send(b"1234567")
        assert back_rx.recv() == b"1234567"

    @requires(Capability.SHARED_MEMORY)
    def test_opaque_ends_of_a_mixed_message(self, bag: Bag) -> None:
        """I31: opaque ends arrive in their places between others."""
        (tx, rx), (other_tx, other_rx) = bag.channel(), bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        ends = [tx.to_opaque(), other_tx, other_rx.to_opaque(), bag.region(b"region")]
        for end in ends:
            bag.keep(end)
        carrier_tx.send(ends)
        received = carrier_rx.recv()
        for end in received:
            bag.keep(end)
        bag.keep(received[0].to()).send(1)
        received[1].send(2)
        assert rx.recv() == 1
        assert bag.keep(received[2].to()).recv() == 2
        assert bytes(received[3]) == b"region"

    def test_opaque_ends_close(self, bag: Bag) -> None:
        """I102: closing an opaque end closes the channel's end."""
        tx, rx = bag.channel()
        with rx.to_opaque():
            pass
        assert tx.wait_closed(BOUND)
