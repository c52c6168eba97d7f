"""Bytes channels."""

from __future__ import annotations

import pickle

import pytest

from ipc_core import (
    Disconnected,
    Empty,
    IpcBytesReceiver,
    IpcBytesSender,
    IpcReceiver,
    MessageReceived,
)
from ipc_core.spi import Backend
from ipc_core.testing.bag import Bag
from ipc_core.testing.waiting import BOUND, eventually

SEVEN = bytes(range(1, 8))


class TestBytes:
    def test_bytes(self, bag: Bag) -> None:
        """B30: seven bytes arrive as these seven, without padding."""
        tx, rx = bag.bytes_channel()
        tx.send(SEVEN)
        received = rx.recv()
        assert received == SEVEN
        assert type(received) is bytes

    def test_bytes_text(self, bag: Bag) -> None:
        """D2: a text in bytes arrives."""
        tx, rx = bag.bytes_channel()
        tx.send(b"'Tis but a scratch!!")
        assert rx.recv() == b"'Tis but a scratch!!"

    def test_embedded_bytes_senders(self, bag: Bag) -> None:
        """B31: a bytes sender travels over a typed channel."""
        sub_tx, sub_rx = bag.bytes_channel()
        super_tx, super_rx = bag.channel()
        super_tx.send(sub_tx)
        received = bag.recv(super_rx)
        assert type(received) is IpcBytesSender
        received.send(SEVEN)
        assert sub_rx.recv() == SEVEN

    def test_embedded_bytes_receivers(self, bag: Bag) -> None:
        """B31: a bytes receiver travels over a typed channel, with its queued messages."""
        sub_tx, sub_rx = bag.bytes_channel()
        super_tx, super_rx = bag.channel()
        sub_tx.send(b"queued")
        super_tx.send(sub_rx)
        received = bag.recv(super_rx)
        assert type(received) is IpcBytesReceiver
        sub_tx.send(SEVEN)
        assert [received.recv(), received.recv()] == [b"queued", SEVEN]

    def test_bytes_like(self, bag: Bag) -> None:
        """B30: any bytes-like object is sent as its bytes, also a view that is not contiguous."""
        tx, rx = bag.bytes_channel()
        for data, expected in (
            (bytearray(SEVEN), SEVEN),
            (memoryview(SEVEN)[2:5], SEVEN[2:5]),
            (memoryview(SEVEN)[::2], SEVEN[::2]),
            (memoryview(SEVEN + b"\0").cast("H"), SEVEN + b"\0"),
            (b"", b""),
        ):
            tx.send(data)
            assert rx.recv() == expected

    def test_buffers_are_borrowed(self, bag: Bag) -> None:
        """B30: a buffer changed after the send does not change the message."""
        tx, rx = bag.bytes_channel()
        for size in (10, 100_000, 2_000_000):
            data = bytearray(b"a" * size)
            tx.send(data)
            data[:] = b"b" * size
            assert rx.recv() == b"a" * size

    def test_attachments_on_a_bytes_channel(self, bag: Bag, backend: Backend) -> None:
        """I41: a bytes receiver yields the bytes of a message and closes its attachments."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        receiver = bag.keep(IpcBytesReceiver(rx, backend))
        tx.send(b"bytes", [sub_tx, sub_rx])
        assert receiver.recv() == b"bytes"
        assert sub_tx.wait_closed(BOUND)

    def test_every_way_to_receive(self, bag: Bag) -> None:
        """I42, W47: bytes receivers poll, wait for a time, iterate and receive many."""
        tx, rx = bag.bytes_channel()
        with pytest.raises(Empty):
            rx.try_recv()
        with pytest.raises(Empty):
            rx.try_recv_timeout(0.001)
        for _ in range(5):
            tx.send(SEVEN)
        tx.close()
        assert eventually(rx.try_recv) == SEVEN
        assert rx.try_recv_timeout(BOUND) == SEVEN
        assert rx.recv_many(1) == [SEVEN]
        assert list(rx) == [SEVEN, SEVEN]
        with pytest.raises(Disconnected):
            rx.try_recv()

    def test_bytes_receiver_in_a_set(self, bag: Bag) -> None:
        """I42, W47: a set decodes for each member as that would, and gives it back as it was."""
        (bytes_tx, bytes_rx), (tx, rx) = bag.bytes_channel(), bag.channel()
        receivers = bag.receiver_set()
        bytes_id, typed_id = receivers.add(bytes_rx), receivers.add(rx)
        bytes_tx.send(SEVEN)
        tx.send([1])
        found: dict[int, object] = {}
        while len(found) < 2:
            for result in receivers.select():
                assert isinstance(result, MessageReceived)
                found[result.id] = result.message.to()
        assert found == {bytes_id: SEVEN, typed_id: [1]}
        assert type(bag.keep(receivers.remove(bytes_id))) is IpcBytesReceiver
        assert type(bag.keep(receivers.remove(typed_id))) is IpcReceiver

    def test_bytes_sender_connects(self, bag: Bag) -> None:
        """I42: a bytes sender connects to a server and sends payloads for its codec."""
        server, name = bag.server()
        bag.keep(IpcBytesSender.connect(name)).send(pickle.dumps("by hand"))
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        assert first == "by hand"

    def test_bytes_sender_clones(self, bag: Bag) -> None:
        """I42: a clone of a bytes sender is one too, and keeps the channel connected."""
        tx, rx = bag.bytes_channel()
        clone = bag.keep(tx.clone())
        assert type(clone) is IpcBytesSender
        tx.close()
        clone.send(SEVEN)
        assert rx.recv() == SEVEN

    def test_objects_are_refused(self, bag: Bag) -> None:
        """B30: an object that is not bytes-like is a TypeError, and nothing is sent."""
        tx, rx = bag.bytes_channel()
        for wrong in ("text", 5, None, [1, 2]):
            with pytest.raises(TypeError):
                tx.send(wrong)  # type: ignore[arg-type]
        tx.send(b"next")
        assert rx.recv() == b"next"
