"""Endpoints inside messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ipc_core import BrokenChannelError, Empty, IpcError, MovedError
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import BOUND

PAIR = ("Patrick Walton", 29)


@dataclass
class Parcel:
    """A holder of an endpoint among other things."""

    note: str
    end: Any


class TestEmbedding:
    def test_embedded_senders(self, bag: Bag) -> None:
        """B3: a sender in a message arrives and reaches the original receiver."""
        sub_tx, sub_rx = bag.channel()
        super_tx, super_rx = bag.channel()
        super_tx.send((PAIR, sub_tx))
        pair, received = super_rx.recv()
        bag.keep(received).send(PAIR)
        assert pair == PAIR
        assert sub_rx.recv() == PAIR

    def test_embedded_receivers(self, bag: Bag) -> None:
        """B4: a receiver in a message moves, and gets messages sent after the move."""
        sub_tx, sub_rx = bag.channel()
        super_tx, super_rx = bag.channel()
        super_tx.send((PAIR, sub_rx))
        pair, received = super_rx.recv()
        bag.keep(received)
        sub_tx.send(PAIR)
        assert pair == PAIR
        assert received.recv() == PAIR

    def test_moved_receiver_keeps_its_queue(self, bag: Bag) -> None:
        """D5: a moved receiver yields the messages queued before the move, then the later ones."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        tx.send("before")
        carrier_tx.send(rx)
        tx.send("in between")
        moved = bag.recv(carrier_rx)
        tx.send(b"123456789")
        tx.close()
        assert list(moved) == ["before", "in between", b"123456789"]

    def test_received_sender_delivers(self, bag: Bag) -> None:
        """D6: a sender received in a message delivers nine bytes."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(tx)
        bag.recv(carrier_rx).send(b"123456789")
        assert rx.recv() == b"123456789"

    def test_multiple_paths_to_a_sender(self, bag: Bag) -> None:
        """B29: one sender on several paths of a message arrives as one object."""
        sub_tx, sub_rx = bag.channel()
        super_tx, super_rx = bag.channel()
        item = (PAIR, sub_tx)
        super_tx.send([item, item, (PAIR, sub_tx)])
        received = super_rx.recv()
        bag.keep(received[0][1])
        assert [pair for pair, _ in received] == [PAIR] * 3
        assert received[0][1] is received[1][1] is received[2][1]
        received[0][1].send(1)
        received[1][1].send(2)
        assert [sub_rx.recv(), sub_rx.recv()] == [1, 2]

    def test_sender_over_its_own_channel(self, bag: Bag) -> None:
        """I25: a sender travels over its own channel and keeps that connected."""
        tx, rx = bag.channel()
        tx.send(tx)
        tx.close()
        received = bag.recv(rx)
        with pytest.raises(Empty):
            rx.try_recv_timeout(0.01)
        received.send(PAIR)
        assert rx.recv() == PAIR

    def test_receiver_over_its_own_channel(self, bag: Bag) -> None:
        """I26: a receiver sent over its own channel is refused or gone, and nothing hangs."""
        tx, rx = bag.channel()
        try:
            tx.send(rx)
        except IpcError:
            tx.send(PAIR)
            assert rx.recv() == PAIR
        else:
            with pytest.raises(MovedError):
                rx.try_recv()

    def test_moved_receiver_refuses_use(self, bag: Bag) -> None:
        """I27: a receiver that was sent raises MovedError for any use but close and repr."""
        _, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(rx)
        bag.recv(carrier_rx)
        for use in (
            rx.recv,
            rx.try_recv,
            lambda: rx.try_recv_timeout(1),
            lambda: rx.recv_many(1),
            lambda: next(iter(rx)),
            rx.fileno,
            lambda: bag.receiver_set().add(rx),
        ):
            with pytest.raises(MovedError, match="sent in a message"):
                use()
        assert "sent in a message" in repr(rx)
        with rx:
            pass
        rx.close()

    def test_moved_receiver_cannot_be_sent_again(self, bag: Bag) -> None:
        """I27: sending a receiver a second time raises MovedError, and nothing is sent."""
        _, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(rx)
        bag.recv(carrier_rx)
        with pytest.raises(MovedError):
            carrier_tx.send(rx)
        with pytest.raises(Empty):
            carrier_rx.try_recv()

    def test_sender_stays_usable(self, bag: Bag) -> None:
        """I28: a copy of a sender travels; the original works, also after the copy went."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(tx)
        tx.send(1)
        received = bag.recv(carrier_rx)
        received.send(2)
        received.close()
        tx.send(3)
        assert [rx.recv() for _ in range(3)] == [1, 2, 3]

    def test_failed_send_leaves_the_receiver(self, bag: Bag) -> None:
        """I29: when a send fails, the receivers in its message stay usable where they are."""
        tx, rx = bag.channel()
        carrier_tx, carrier_rx = bag.channel()
        carrier_rx.close()
        assert carrier_tx.wait_closed(BOUND)
        with pytest.raises(BrokenChannelError):
            carrier_tx.send((tx, rx))
        tx.send(PAIR)
        assert rx.recv() == PAIR

    def test_many_and_the_same_many_times(self, bag: Bag) -> None:
        """I30: one sender thirty times and forty others travel in one message."""
        tx, rx = bag.channel()
        others = [bag.channel() for _ in range(40)]
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(([tx] * 30, [sender for sender, _ in others]))
        same, senders = carrier_rx.recv()
        for sender in [same[0], *senders]:
            bag.keep(sender)
        same[29].send("same")
        for number, sender in enumerate(senders):
            sender.send(number)
        assert rx.recv() == "same"
        assert [receiver.recv() for _, receiver in others] == list(range(40))

    @requires(Capability.SHARED_MEMORY)
    def test_every_kind_in_its_place(self, bag: Bag) -> None:
        """I31: endpoints of every kind, nested in containers, arrive in their places and roles."""
        (tx1, rx1), (tx2, rx2), (tx3, rx3) = bag.channel(), bag.channel(), bag.channel()
        (bytes_tx1, bytes_rx1), (bytes_tx2, bytes_rx2) = bag.bytes_channel(), bag.bytes_channel()
        regions = bag.region(b"one"), bag.region(b"two")
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(
            {
                "parcel": Parcel("a receiver", rx1),
                "list": [tx2, regions[0], bytes_tx1, (bytes_rx2, regions[1])],
                "tail": (tx3, [rx2]),
            }
        )
        got = carrier_rx.recv()
        got_rx1 = bag.keep(got["parcel"].end)
        got_tx2, region0, got_bytes_tx1, (got_bytes_rx2, region1) = got["list"]
        got_tx3, (got_rx2,) = got["tail"]
        for end in (got_tx2, region0, got_bytes_tx1, got_bytes_rx2, region1, got_tx3, got_rx2):
            bag.keep(end)
        tx1.send(1)
        got_tx2.send(2)
        got_tx3.send(3)
        got_bytes_tx1.send(b"4")
        bytes_tx2.send(b"5")
        assert got["parcel"].note == "a receiver"
        assert [got_rx1.recv(), got_rx2.recv(), rx3.recv()] == [1, 2, 3]
        assert [bytes_rx1.recv(), got_bytes_rx2.recv()] == [b"4", b"5"]
        assert [bytes(region0), bytes(region1)] == [b"one", b"two"]
        with pytest.raises(MovedError):
            bytes_rx2.try_recv()
