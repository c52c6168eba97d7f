"""Endpoints in messages: their arrival, and their owner at each step."""

from __future__ import annotations

import pytest

from ipc_core.spi import (
    Attachment,
    Backend,
    BrokenChannelError,
    Capability,
    Disconnected,
    Empty,
    Kind,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.payloads import MIB, PACKET, packet_sizes, pattern, same


class TestTransportAttachments:
    def test_transport_sender_transfer(self, bag: Bag, backend: Backend) -> None:
        """B40: a sender that travelled sends to the receiver that stayed."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        tx.send(b"foo", [sub_tx])
        data, (sender,) = bag.os_recv(rx)
        assert data == b"foo"
        assert sender.kind is Kind.SENDER
        sender.send(b"foo")
        assert bag.os_recv(sub_rx)[0] == b"foo"

    def test_transport_receiver_transfer(self, bag: Bag, backend: Backend) -> None:
        """B41: a receiver that travelled receives from the sender that stayed."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        tx.send(b"foo", [sub_rx])
        data, (receiver,) = bag.os_recv(rx)
        assert data == b"foo"
        assert receiver.kind is Kind.RECEIVER
        sub_tx.send(b"foo")
        assert bag.os_recv(receiver)[0] == b"foo"

    def test_transport_multisender_transfer(self, bag: Bag, backend: Backend) -> None:
        """B42: senders arrive in the order in which they were sent."""
        tx, rx = bag.os_channel(backend)
        subs = [bag.os_channel(backend) for _ in range(2)]
        tx.send(b"asdfasdf", [sub_tx for sub_tx, _ in subs])
        data, attachments = bag.os_recv(rx)
        assert data == b"asdfasdf"
        assert len(attachments) == 2
        for number, sender in enumerate(attachments):
            sender.send(b"to %d" % number)
        for number, (_, sub_rx) in enumerate(subs):
            assert bag.os_recv(sub_rx)[0] == b"to %d" % number

    def test_transport_medium_data_with_sender_transfer(self, bag: Bag, backend: Backend) -> None:
        """B44: a payload that fills a packet comes with its sender, which sends the same."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        for size in packet_sizes(backend):
            tx.send(pattern(size), [sub_tx])
            data, (sender,) = bag.os_recv(rx)
            assert same(data, pattern(size))
            sender.send(pattern(size))
            assert same(bag.os_recv(sub_rx)[0], pattern(size))

    @pytest.mark.threads
    def test_transport_big_data_with_sender_transfer(self, bag: Bag, backend: Backend) -> None:
        """B47: a large message has the attachments it was given, and none of the backend's own."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        sending = bag.thread(tx.send, pattern(MIB), [sub_tx])
        data, attachments = bag.os_recv(rx)
        sending.result()
        assert same(data, pattern(MIB))
        assert [attachment.kind for attachment in attachments] == [Kind.SENDER]
        attachments[0].send(pattern(PACKET))
        assert same(bag.os_recv(sub_rx)[0], pattern(PACKET))

    def test_transport_fd_only(self, bag: Bag, backend: Backend) -> None:
        """B59: a message may consist of a sender alone."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        tx.send(b"", [sub_tx])
        data, (sender,) = bag.os_recv(rx)
        assert bytes(data) == b""
        sender.send(pattern(PACKET))
        assert same(bag.os_recv(sub_rx)[0], pattern(PACKET))

    @requires(Capability.SHARED_MEMORY)
    def test_transport_mixed_kinds_keep_their_order(self, bag: Bag, backend: Backend) -> None:
        """B42: attachments of all kinds are one list, in the order in which it was sent."""
        tx, rx = bag.os_channel(backend)
        one_tx, one_rx = bag.os_channel(backend)
        two_tx, two_rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(b"shared"))
        sent: list[Attachment] = [region, two_rx, one_tx, region, one_tx]
        kinds = [attachment.kind for attachment in sent]
        tx.send(b"mixed", sent)
        _, attachments = bag.os_recv(rx)
        assert [attachment.kind for attachment in attachments] == kinds
        for arrived in (attachments[0], attachments[3]):
            assert arrived.buffer == b"shared"
        two_tx.send(b"two")
        assert bag.os_recv(attachments[1])[0] == b"two"
        for sender in (attachments[2], attachments[4]):
            sender.send(b"one")
            assert bag.os_recv(one_rx)[0] == b"one"

    def test_transport_sender_in_queue_is_alive(self, bag: Bag, backend: Backend) -> None:
        """B40, B82: a sender in a message that nobody has received keeps its channel connected."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        tx.send(b"", [sub_tx])
        sub_tx.close()
        with pytest.raises(Empty):
            sub_rx.recv(0.02)
        _, (sender,) = bag.os_recv(rx)
        sender.send(b"alive")
        assert bag.os_recv(sub_rx)[0] == b"alive"
        sender.close()
        with pytest.raises(Disconnected):
            sub_rx.recv(30)

    def test_transport_receiver_in_queue_is_alive(self, bag: Bag, backend: Backend) -> None:
        """B41, B83: a receiver in a message that nobody has received can be sent to."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        tx.send(b"", [sub_rx])
        assert not sub_tx.wait_closed(0.02)
        sub_tx.send(b"queued")
        rx.close()
        assert sub_tx.wait_closed(30)
        with pytest.raises(BrokenChannelError):
            sub_tx.send(b"nobody")

    def test_transport_unread_message_frees_its_attachments(
        self, bag: Bag, backend: Backend
    ) -> None:
        """B82: closing a receiver drops its unread messages with the senders in them."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        inner_tx, inner_rx = bag.os_channel(backend)
        inner_tx.send(b"nested", [sub_tx])
        tx.send(b"", [inner_rx])
        sub_tx.close()
        inner_tx.close()
        rx.close()
        with pytest.raises(Disconnected):
            sub_rx.recv(30)

    def test_transport_moved_receiver_keeps_its_queue(self, bag: Bag, backend: Backend) -> None:
        """B41, B95: messages queued in a receiver travel with it, through several hands."""
        count = 20_000 if Capability.UNBOUNDED in backend.capabilities else 200
        tx, rx = bag.os_channel(backend)
        moved_tx, moved = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        for number in range(count):
            moved_tx.send(b"%d" % number, [sub_tx] if number % 1000 == 999 else ())
        moved_tx.send(pattern(MIB))
        moved_tx.close()
        received = 0
        for hand in range(4):
            for _ in range(count // 4):
                data, attachments = moved.recv(30)
                assert data == b"%d" % received
                for attachment in attachments:
                    bag.keep(attachment).send(b"sub")  # type: ignore[union-attr]
                    assert bag.os_recv(sub_rx)[0] == b"sub"
                received += 1
            tx.send(b"hand %d" % hand, [moved])
            _, (moved,) = bag.os_recv(rx)
        assert same(bag.os_recv(moved)[0], pattern(MIB))
        with pytest.raises(Disconnected):
            moved.recv(30)

    def test_transport_nested_channels(self, bag: Bag, backend: Backend) -> None:
        """B95: receivers queued inside receivers, ten deep, arrive with their messages."""
        tx, moved = bag.os_channel(backend)
        tx.send(b"cookie")
        for _ in range(10):
            outer_tx, outer_rx = bag.os_channel(backend)
            outer_tx.send(b"", [moved])
            outer_tx.close()
            moved = outer_rx
        for _ in range(10):
            _, (moved,) = bag.os_recv(moved)
        assert bag.os_recv(moved)[0] == b"cookie"
