"""Payloads and attachments around the sizes and counts at which transports break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ipc_core.spi import Backend, Capability, Empty, Kind
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.payloads import MIB, PACKET, packet_sizes, pattern, same

ALL_KINDS = pytest.mark.parametrize(
    "kind",
    [
        Kind.SENDER,
        Kind.RECEIVER,
        pytest.param(Kind.SHARED_MEMORY, marks=requires(Capability.SHARED_MEMORY)),
    ],
    ids=lambda kind: kind.name.lower(),
)


def send_with_senders(bag: Bag, backend: Backend, size: int, count: int) -> None:
    """Send `size` bytes and `count` senders; then a packet over each received sender."""
    tx, rx = bag.os_channel(backend)
    subs = [bag.os_channel(backend) for _ in range(count)]
    tx.send(pattern(size), [sub_tx for sub_tx, _ in subs])
    data, attachments = bag.os_recv(rx)
    assert same(data, pattern(size))
    assert [attachment.kind for attachment in attachments] == [Kind.SENDER] * count
    for number, ((sub_tx, sub_rx), sender) in enumerate(zip(subs, attachments, strict=True)):
        sub_tx.close()
        sender.send(pattern(PACKET, flag=number % 16 << 4))
        data, attachments = bag.os_recv(sub_rx)
        assert same(data, pattern(PACKET, flag=number % 16 << 4))
        assert not attachments
        sender.close()
        sub_rx.close()


class TestTransportLimits:
    @pytest.mark.parametrize("senders", [0, 1, 2, 3, 4, 5, 6, 64])
    @pytest.mark.parametrize("beyond", [-1, 0])
    def test_transport_full_packet(
        self, bag: Bag, backend: Backend, beyond: int, senders: int
    ) -> None:
        """B48-B55: a payload that just fits is sent and received by one thread, with senders."""
        for size in packet_sizes(backend):
            send_with_senders(bag, backend, size + beyond, senders)

    @pytest.mark.parametrize("senders", [0, 1, 3, 63, 64])
    def test_transport_overfull_packet(self, bag: Bag, backend: Backend, senders: int) -> None:
        """B56-B57: one byte more than fits is sent unreceived, with senders or without."""
        for size in packet_sizes(backend):
            send_with_senders(bag, backend, size + 1, senders)

    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("senders", [0, 1, 3, 64])
    def test_transport_sizes_around_hints_all_queued(
        self, bag: Bag, backend: Backend, senders: int
    ) -> None:
        """B48-B57: payloads of all sizes around the limits queue up, each with its senders."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        sizes = [near for size in packet_sizes(backend) for near in range(size - 40, size + 41, 8)]
        for size in sizes:
            tx.send(pattern(size), [sub_tx] * senders)
        for size in sizes:
            data, attachments = bag.os_recv(rx)
            assert same(data, pattern(size))
            assert len(attachments) == senders
            for number, sender in enumerate(attachments):
                sender.send(b"%d" % number)
                assert bag.os_recv(sub_rx)[0] == b"%d" % number
                sender.close()

    @pytest.mark.threads
    @pytest.mark.parametrize("senders", range(7))
    def test_transport_big_data_with_senders(
        self, bag: Bag, backend: Backend, senders: int
    ) -> None:
        """B60-B66: a payload of 1 MiB from a thread arrives with its senders, each of use."""
        tx, rx = bag.os_channel(backend)
        subs = [bag.os_channel(backend) for _ in range(senders)]
        sending = bag.thread(tx.send, pattern(MIB), [sub_tx for sub_tx, _ in subs])
        data, attachments = bag.os_recv(rx)
        sending.result()
        assert same(data, pattern(MIB))
        assert [attachment.kind for attachment in attachments] == [Kind.SENDER] * senders
        for (_, sub_rx), sender in zip(subs, attachments, strict=True):
            sender.send(pattern(PACKET))
            assert same(bag.os_recv(sub_rx)[0], pattern(PACKET))

    @ALL_KINDS
    @pytest.mark.parametrize("size", [0, 100, MIB], ids=["empty", "small", "large"])
    @pytest.mark.parametrize("count", [64, 65, 252, 253, 254, 1000])
    def test_transport_many_attachments(
        self, bag: Bag, backend: Backend, count: int, size: int, kind: Kind
    ) -> None:
        """B55, B57: far more attachments than a packet carries arrive in order, all of use."""
        bag.allow_descriptors(5 * count + 200)
        tx, rx = bag.os_channel(backend)
        attached, check = MAKERS[kind](bag, backend, count)
        tx.send(pattern(size), attached)
        tx.send(b"next")
        data, attachments = bag.os_recv(rx)
        assert same(data, pattern(size))
        assert [attachment.kind for attachment in attachments] == [kind] * count
        for number, attachment in enumerate(attachments):
            check(number, attachment)
            attachment.close()
        assert bag.os_recv(rx)[0] == b"next"

    @requires(Capability.UNBOUNDED)
    @ALL_KINDS
    def test_transport_many_attachments_in_a_long_queue(
        self, bag: Bag, backend: Backend, kind: Kind
    ) -> None:
        """B55: attachments stay with their messages in a queue longer than a system buffer."""
        bag.allow_descriptors(2000)
        tx, rx = bag.os_channel(backend)
        for number in range(2000):
            tx.send(b"%d" % number)
        checks = []
        for count in (1, 300, 5):
            attached, check = MAKERS[kind](bag, backend, count)
            tx.send(b"with %d" % count, attached)
            checks.append((count, check))
        tx.send(b"last")
        for number in range(2000):
            assert bag.os_recv(rx)[0] == b"%d" % number
        for count, check in checks:
            data, attachments = bag.os_recv(rx)
            assert data == b"with %d" % count
            assert len(attachments) == count
            for number, attachment in enumerate(attachments):
                check(number, attachment)
                attachment.close()
        assert bag.os_recv(rx)[0] == b"last"
        with pytest.raises(Empty):
            rx.recv(0)


Made = tuple[list[Any], Callable[[int, Any], None]]

DISTINCT = 7


def some_senders(bag: Bag, backend: Backend, count: int) -> Made:
    """Senders of a few channels in turn, and a check that a received one is the n-th sent."""
    channels = [bag.os_channel(backend) for _ in range(DISTINCT)]

    def check(number: int, sender: Any) -> None:
        sender.send(b"%d" % number)
        assert bag.os_recv(channels[number % DISTINCT][1])[0] == b"%d" % number

    return [channels[number % DISTINCT][0] for number in range(count)], check


def some_receivers(bag: Bag, backend: Backend, count: int) -> Made:
    """Receivers, each with its number queued and no sender left."""
    receivers = []
    for number in range(count):
        tx, rx = bag.os_channel(backend)
        tx.send(b"%d" % number)
        tx.close()
        receivers.append(rx)

    def check(number: int, receiver: Any) -> None:
        assert bag.os_recv(receiver)[0] == b"%d" % number

    return receivers, check


def some_regions(bag: Bag, backend: Backend, count: int) -> Made:
    """A few regions in turn, of different sizes."""
    regions = [
        bag.keep(backend.shared_memory(pattern(1000 + number))) for number in range(DISTINCT)
    ]

    def check(number: int, region: Any) -> None:
        assert region.buffer == pattern(1000 + number % DISTINCT)

    return [regions[number % DISTINCT] for number in range(count)], check


MAKERS: dict[Kind, Callable[[Bag, Backend, int], Made]] = {
    Kind.SENDER: some_senders,
    Kind.RECEIVER: some_receivers,
    Kind.SHARED_MEMORY: some_regions,
}
