"""Regions of shared memory inside one process."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from ipc_core import ClosedError, IpcReceiver, IpcSender, IpcSharedMemory
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import each_test, requires

PAIR = ("Patrick Walton", 29)
MIB = 1 << 20


@each_test(requires(Capability.SHARED_MEMORY))
class TestSharedMemory:
    def test_shared_memory(self, bag: Bag) -> None:
        """B20: a region arrives with its content; the one that was sent stays valid."""
        region = bag.region(b"\xba" * MIB)
        tx, rx = bag.channel()
        tx.send((PAIR, region))
        pair, received = rx.recv()
        bag.keep(received)
        assert pair == PAIR
        assert bytes(region) == bytes(received) == b"\xba" * MIB

    def test_shared_memory_slice(self, bag: Bag) -> None:
        """B21: regions made from a repeated byte, from nothing and from bytes arrive equal."""
        tx, rx = bag.channel()
        for region, content in (
            (IpcSharedMemory.from_byte(42, 0), b""),
            (IpcSharedMemory.from_bytes(b""), b""),
            (IpcSharedMemory.from_bytes(b"\x04\x02\x2a"), b"\x04\x02\x2a"),
            (IpcSharedMemory.from_byte(42, 3), b"***"),
            (IpcSharedMemory.from_byte(0, 3), bytes(3)),
        ):
            tx.send(bag.keep(region))
            received = bag.recv(rx)
            assert received == region
            assert bytes(received) == content
            assert len(received) == len(content)

    def test_shared_memory_object_equality(self, bag: Bag) -> None:
        """B22: tuples that hold regions are equal when the contents are."""
        sent = (PAIR, bag.region(b"\xba" * MIB))
        tx, rx = bag.channel()
        tx.send(sent)
        received = rx.recv()
        bag.keep(received[1])
        assert received == sent
        assert received != (PAIR, bag.region(b"\xbb" * MIB))
        with pytest.raises(TypeError):
            hash(sent[1])

    def test_shared_memory_take(self, bag: Bag) -> None:
        """B23: take gives the content as bytes and closes the region."""
        tx, rx = bag.channel()
        region = bag.region(b"\xba" * MIB)
        tx.send(region)
        region.close()
        received = bag.recv(rx)
        assert received.take() == b"\xba" * MIB
        with pytest.raises(ClosedError):
            received.take()

    def test_shared_memory_take_empty(self, bag: Bag) -> None:
        """B24: take of an empty region gives empty bytes."""
        tx, rx = bag.channel()
        tx.send(bag.region(b""))
        assert bag.recv(rx).take() == b""

    def test_shared_memory_clone(self, bag: Bag) -> None:
        """D8: a region sent as a clone equals the one that was kept."""
        region = bag.region(b"1234")
        tx, rx = bag.channel()
        with region.clone() as clone:
            tx.send(clone)
        assert bag.recv(rx) == region

    def test_several_regions_and_one_twice(self, bag: Bag) -> None:
        """I73: several regions, one of them twice, arrive in their places."""
        a, b, c = (bag.region(text) for text in (b"a", b"bb", b"ccc"))
        clone = bag.keep(a.clone())
        tx, rx = bag.channel()
        tx.send([a, b, clone, c, a])
        received = rx.recv()
        for region in received:
            bag.keep(region)
        assert [bytes(region) for region in received] == [b"a", b"bb", b"a", b"ccc", b"a"]
        assert received[0] is received[4]
        received[0].close()
        assert bytes(received[2]) == b"a"

    @pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 10_000_019])
    def test_region_size(self, bag: Bag, size: int) -> None:
        """I74: a region has exactly the length it was made with."""
        content = (bytes(range(251)) * (size // 251 + 1))[:size]
        tx, rx = bag.channel()
        tx.send(bag.region(content))
        received = bag.recv(rx)
        assert len(received) == len(received.buffer) == size
        assert received.take() == content

    def test_writes_are_seen(self, bag: Bag) -> None:
        """I75: bytes written through one handle are read through clones and received ones."""
        region = bag.region(bytes(10))
        clone = bag.keep(region.clone())
        tx, rx = bag.channel()
        tx.send(region)
        received = bag.recv(rx)
        region.buffer_mut()[0] = 1
        received.buffer_mut()[9] = 9
        clone.buffer_mut()[5] = 5
        expected = bytes([1, 0, 0, 0, 0, 5, 0, 0, 0, 9])
        assert bytes(region) == bytes(clone) == bytes(received) == expected

    def test_views(self, bag: Bag) -> None:
        """I77: the default view is read-only; views stay valid when the region is closed."""
        region = bag.region(b"view")
        view, writable = region.buffer, region.buffer_mut()
        with pytest.raises(TypeError):
            view[0] = 0
        writable[0] = ord("V")
        region.close()
        assert bytes(view) == bytes(writable) == b"View"
        writable[3] = ord("W")
        assert bytes(view) == b"VieW"
        for use in (
            lambda: region.buffer,
            region.buffer_mut,
            region.take,
            region.clone,
            lambda: len(region),
        ):
            with pytest.raises(ClosedError):
                use()

    def test_take_beside_a_clone(self, bag: Bag) -> None:
        """I78: taking the bytes of one handle leaves its clones working."""
        region = bag.region(b"both")
        clone = bag.keep(region.clone())
        assert region.take() == b"both"
        clone.buffer_mut()[0] = ord("B")
        assert bytes(clone) == b"Both"

    def test_empty_regions(self, bag: Bag) -> None:
        """I79: empty regions equal each other, cost nothing and travel in any number."""
        before = descriptors()
        empties = [bag.region(b"") for _ in range(64)]
        assert descriptors() == before
        assert empties[0] == empties[1]
        assert bag.keep(empties[0].clone()) == empties[1]
        ends = [bag.channel() for _ in range(64)]
        tx, rx = bag.channel()
        tx.send([(region, end) for region, (end, _) in zip(empties, ends, strict=True)])
        for number, (region, sender) in enumerate(rx.recv()):
            bag.keep(region)
            bag.keep(sender).send(number)
            assert bytes(region) == b""
        assert [receiver.recv() for _, receiver in ends] == list(range(64))

    @pytest.mark.parametrize("content", [b"", b"content"])
    def test_regions_leak_nothing(self, bag: Bag, content: bytes) -> None:
        """I80: after a thousand regions were made, sent and dropped nothing is left of them."""
        tx, rx = bag.channel()
        _send_region(tx, rx, content)
        gc.collect()
        before, mapped = descriptors(), _mappings()
        for _ in range(1000):
            _send_region(tx, rx, content)
        gc.collect()
        assert descriptors() == before
        assert _mappings() <= mapped + 10

    def test_repr_is_short(self, bag: Bag) -> None:
        """W46: the repr of a region is short, and shows none of its bytes."""
        assert len(repr(bag.region(b"x" * 100_000))) < 100

    def test_wrong_arguments(self, bag: Bag) -> None:
        """B21: a byte outside 0 to 255 and a negative length are refused."""
        for byte, length in ((256, 1), (-1, 1), (1, -1)):
            with pytest.raises(ValueError, match="not"):
                IpcSharedMemory.from_byte(byte, length)


def _send_region(tx: IpcSender[Any], rx: IpcReceiver[Any], content: bytes) -> None:
    with IpcSharedMemory.from_bytes(content) as region:
        tx.send(region)
    with rx.recv() as received:
        assert bytes(received) == content


def _mappings() -> int:
    """Return the number of this process's memory mappings; 0 where the system does not tell."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return 0
