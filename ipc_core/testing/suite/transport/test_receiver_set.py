"""Receiver sets: messages, closed channels, and their turn."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    Capability,
    ForeignHandleError,
    Kind,
    OsIpcReceiverSet,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.payloads import MIB, PACKET, SENTENCE, packet_sizes, pattern, same
from ipc_core.testing.timing import Soon

CLOSED = None


class TestTransportReceiverSet:
    def test_transport_receiver_set(self, bag: Bag, backend: Backend) -> None:
        """B68: messages and closed channels are told apart, each under the id of its receiver."""
        members = bag.keep(backend.receiver_set())
        one_tx, one_rx = bag.os_channel(backend)
        two_tx, two_rx = bag.os_channel(backend)
        members.add(one_rx, 1)
        members.add(two_rx, 2)
        one_tx.send(SENTENCE)
        assert collect(bag, members, 1) == [(1, SENTENCE)]
        one_tx.send(b"one")
        two_tx.send(b"two")
        assert sorted(collect(bag, members, 2)) == [(1, b"one"), (2, b"two")]
        one_tx.close()
        two_tx.close()
        assert sorted(collect(bag, members, 2)) == [(1, CLOSED), (2, CLOSED)]
        assert members.select(0) == []

    def test_transport_receiver_set_empty(self, bag: Bag, backend: Backend) -> None:
        """B70: a message without a byte is a message, not a closed channel."""
        members = bag.keep(backend.receiver_set())
        tx, rx = bag.os_channel(backend)
        members.add(rx, 7)
        tx.send(b"")
        assert collect(bag, members, 1) == [(7, b"")]

    @pytest.mark.parametrize("unread", [0, 3])
    @pytest.mark.parametrize("close_first", [True, False])
    def test_transport_receiver_set_close(
        self, bag: Bag, backend: Backend, close_first: bool, unread: int
    ) -> None:
        """B71-B72: a channel closed before or after it was added is reported once, last."""
        members = bag.keep(backend.receiver_set())
        tx, rx = bag.os_channel(backend)
        for _ in range(unread):
            tx.send(SENTENCE)
        if close_first:
            tx.close()
        members.add(rx, 3)
        tx.close()
        assert collect(bag, members, unread + 1) == [(3, SENTENCE)] * unread + [(3, CLOSED)]
        assert members.select(0.02) == []
        with pytest.raises(KeyError):
            members.remove(3)

    def test_transport_receiver_set_medium_data(self, bag: Bag, backend: Backend) -> None:
        """B73: payloads that fill a packet arrive under the right id."""
        members = bag.keep(backend.receiver_set())
        senders = [added(bag, backend, members, id) for id in range(2)]
        for size in packet_sizes(backend):
            for id, tx in enumerate(senders):
                tx.send(pattern(size, 127, id << 7))
            results = dict(collect(bag, members, 2))
            for id in range(2):
                assert same(results[id], pattern(size, 127, id << 7))

    @pytest.mark.threads
    def test_transport_receiver_set_big_data(self, bag: Bag, backend: Backend) -> None:
        """B74: large payloads from two threads arrive whole, under the right id, and nothing
        else does while the senders live."""
        members = bag.keep(backend.receiver_set())
        senders = [added(bag, backend, members, id) for id in range(2)]
        sending = [bag.thread(tx.send, pattern(MIB, 127, id << 7)) for id, tx in enumerate(senders)]
        results = dict(collect(bag, members, 2))
        for id in range(2):
            sending[id].result()
            assert same(results[id], pattern(MIB, 127, id << 7))
        assert members.select(0) == []

    @pytest.mark.threads
    def test_transport_receiver_set_concurrent(self, bag: Bag, backend: Backend) -> None:
        """B75: five threads' messages of many sizes arrive in order, then each channel's end."""

        def payload(channel: int, message: int) -> bytes:
            size = (message * 99991 + channel * 90001) % 16381 & ~3
            return pattern(size, 13, channel << 4)

        def send(channel: int, tx: Any) -> None:
            for message in range(100):
                tx.send(payload(channel, message))
            tx.close()

        members = bag.keep(backend.receiver_set())
        senders = [added(bag, backend, members, channel) for channel in range(5)]
        sending = [bag.thread(send, channel, tx) for channel, tx in enumerate(senders)]
        received = defaultdict(list)
        for id, data in collect(bag, members, 5 * 101):
            received[id].append(data)
        for channel in range(5):
            sending[channel].result()
            *messages, last = received[channel]
            assert last is CLOSED
            assert messages == [payload(channel, message) for message in range(100)]
        assert members.select(0) == []

    def test_transport_receiver_set_attachments(self, bag: Bag, backend: Backend) -> None:
        """B68: messages of a set come with their attachments, large or small."""
        members = bag.keep(backend.receiver_set())
        tx = added(bag, backend, members, 1)
        for size in (0, 10, PACKET, MIB):
            sub_tx, sub_rx = bag.os_channel(backend)
            moved_tx, moved_rx = bag.os_channel(backend)
            tx.send(pattern(size), [sub_tx, moved_rx])
            ((id, data, attachments),) = members.select(30)
            sender, receiver = map(bag.keep, attachments)
            assert id == 1
            assert same(data, pattern(size))  # type: ignore[arg-type]
            assert (sender.kind, receiver.kind) == (Kind.SENDER, Kind.RECEIVER)
            moved_tx.send(b"moved")
            assert receiver.recv(30)[0] == b"moved"  # type: ignore[union-attr]
            sender.send(b"sub")  # type: ignore[union-attr]
            assert sub_rx.recv(30)[0] == b"sub"

    @pytest.mark.parametrize("limit", [1, 2, 3, 64])
    def test_transport_select_limit(self, bag: Bag, backend: Backend, limit: int) -> None:
        """B68: `select` returns at most `limit` results, and loses none of the others."""
        members = bag.keep(backend.receiver_set())
        for id in range(10):
            tx = added(bag, backend, members, id)
            for number in range(20):
                tx.send(b"%d" % number)
            if id % 2:
                tx.close()
        received = defaultdict(list)
        missing = 10 * 20 + 5
        while missing:
            results = members.select(10, limit)
            assert 0 < len(results) <= limit, f"{missing} messages are lost"
            missing -= len(results)
            for id, data, _ in results:
                received[id].append(data)
        assert members.select(0) == []
        everything = [b"%d" % number for number in range(20)]
        for id in range(10):
            assert received[id] == everything + ([CLOSED] if id % 2 else [])

    @pytest.mark.parametrize("limit", [1, 4])
    def test_transport_select_serves_in_turn(self, bag: Bag, backend: Backend, limit: int) -> None:
        """B75: ready receivers take turns, however much each of them has."""
        members = bag.keep(backend.receiver_set())
        for id in range(5):
            tx = added(bag, backend, members, id)
            for _ in range(100):
                tx.send(SENTENCE)
        counts = [0] * 5
        start: list[int] = []
        while sum(counts) < 500:
            results = members.select(10, limit)
            assert results, "messages are lost"
            for id, _, _ in results:
                counts[id] += 1
            if not start and all(counts):  # from now on, all are known to be ready
                start = counts.copy()
            served = [now - before for now, before in zip(counts, start, strict=False)]
            if max(counts) < 100 and served:
                assert max(served) - min(served) <= 10

    @requires(Capability.UNBOUNDED)
    def test_transport_select_is_fair_to_short_queues(self, bag: Bag, backend: Backend) -> None:
        """B75: one message in a set is found although others have endless queues."""
        members = bag.keep(backend.receiver_set())
        for id in range(3):
            tx = added(bag, backend, members, id)
            for _ in range(5000):
                tx.send(SENTENCE)
        added(bag, backend, members, 99).send(b"found")
        seen = 0
        while True:
            results = members.select(30, 2)
            seen += len(results)
            if any(id == 99 for id, _, _ in results):
                break
            assert seen < 20

    def test_transport_many_members(self, bag: Bag, backend: Backend) -> None:
        """B75: each of many members is served, and idle ones cost nothing."""
        bag.allow_descriptors(2000)
        members = bag.keep(backend.receiver_set())
        senders = [added(bag, backend, members, id) for id in range(300)]
        senders[217].send(b"only")
        assert collect(bag, members, 1) == [(217, b"only")]
        for id, tx in enumerate(senders):
            tx.send(b"%d" % id)
        results = collect(bag, members, 300)
        assert sorted(results) == [(id, b"%d" % id) for id in range(300)]

    def test_transport_closed_set_closes_its_members(self, bag: Bag, backend: Backend) -> None:
        """B83: the receivers of a closed set are gone, with their messages."""
        members = bag.keep(backend.receiver_set())
        tx = added(bag, backend, members, 1)
        tx.send(SENTENCE)
        members.close()
        members.close()
        assert tx.wait_closed(30)
        with pytest.raises(BrokenChannelError):
            tx.send(SENTENCE)

    def test_transport_add_refuses_a_stranger(self, bag: Bag, backend: Backend) -> None:
        """B68: a receiver of another backend is refused with ForeignHandleError."""

        class Stranger:
            kind = Kind.RECEIVER

        stranger: Any = Stranger()
        members = bag.keep(backend.receiver_set())
        with pytest.raises(ForeignHandleError):
            members.add(stranger, 1)
        with Soon():
            assert members.select(0) == []


def added(bag: Bag, backend: Backend, members: OsIpcReceiverSet, id: int) -> Any:
    """Add a new channel's receiver under `id`; return the sender."""
    tx, rx = bag.os_channel(backend)
    members.add(rx, id)
    return tx


def collect(bag: Bag, members: OsIpcReceiverSet, count: int) -> list[tuple[int, Any]]:
    """Select until there are `count` results without attachments; return (id, data)."""
    found: list[tuple[int, Any]] = []
    while len(found) < count:
        results = members.select(10)
        assert results, f"only {len(found)} of {count} results came"
        for id, data, attachments in results:
            assert not attachments
            found.append((id, data))
    assert len(found) == count
    return found
