"""Regions of shared memory."""

from __future__ import annotations

import pytest

from ipc_core.spi import Backend, Capability, ClosedError, Kind
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.payloads import MIB, SENTENCE, pattern, same

SIZES = pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, MIB])


@each_test(requires(Capability.SHARED_MEMORY))
class TestTransportMemory:
    def test_transport_shared_memory(self, bag: Bag, backend: Backend) -> None:
        """B86: a region of 1 MiB arrives with its exact length and bytes beside the data."""
        tx, rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(b"\xba" * MIB))
        tx.send(SENTENCE, [region])
        data, (arrived,) = bag.os_recv(rx)
        assert data == SENTENCE
        assert arrived.kind is Kind.SHARED_MEMORY
        assert len(arrived) == len(arrived.buffer) == MIB
        assert same(arrived.buffer, b"\xba" * MIB)

    def test_transport_shared_memory_clone(self, bag: Bag, backend: Backend) -> None:
        """B87: a clone is another handle on the same memory, which outlives the original."""
        region = bag.keep(backend.shared_memory(b"\xba" * MIB))
        clone = bag.keep(region.clone())
        assert same(clone.buffer, region.buffer)
        region.buffer[5] = 1
        region.close()
        assert same(clone.buffer, b"\xba" * 5 + b"\1" + b"\xba" * (MIB - 6))

    @SIZES
    def test_transport_shared_memory_sizes(self, bag: Bag, backend: Backend, size: int) -> None:
        """B86, W34: regions have exactly the size and bytes that were asked for, here and there."""
        tx, rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(pattern(size)))
        zeros = bag.keep(backend.shared_memory(size))
        tx.send(b"", [region, zeros])
        _, arrived = bag.os_recv(rx)
        for one, other, expected in zip(
            (region, zeros), arrived, (pattern(size), bytes(size)), strict=True
        ):
            assert len(one) == len(other) == size
            assert same(one.buffer, expected)
            assert same(other.buffer, expected)

    @pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=lambda make: make.__name__)
    def test_transport_shared_memory_copies(
        self, bag: Bag, backend: Backend, make: type[bytes]
    ) -> None:
        """B86: a region is made from any buffer, and is a copy of it."""
        data = bytearray(pattern(5000))
        region = bag.keep(backend.shared_memory(make(data)))
        data[0] = 255
        data.append(0)
        assert same(region.buffer, pattern(5000))

    @SIZES
    def test_transport_shared_memory_is_shared(self, bag: Bag, backend: Backend, size: int) -> None:
        """B86: every holder sees the writes of every other."""
        tx, rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(size))
        tx.send(b"", [region])
        _, (arrived,) = bag.os_recv(rx)
        views = [region.buffer, arrived.buffer, bag.keep(region.clone()).buffer]
        assert not any(view.readonly for view in views)
        for number, view in enumerate(views, 1):
            view[:] = pattern(size, flag=number << 4)
            assert all(same(other, pattern(size, flag=number << 4)) for other in views)

    def test_transport_shared_memory_bytes(self, bag: Bag, backend: Backend) -> None:
        """B86: a region's buffer is a flat view of bytes."""
        view = bag.keep(backend.shared_memory(pattern(100))).buffer
        assert (view.format, view.ndim, view.itemsize, view.nbytes) == ("B", 1, 1, 100)
        view.release()

    @SIZES
    def test_transport_shared_memory_close(self, bag: Bag, backend: Backend, size: int) -> None:
        """B86: a view stays valid after `close`; the handle does not, and cannot be sent."""
        tx, rx = bag.os_channel(backend)
        region = backend.shared_memory(pattern(size))
        view = region.buffer
        region.close()
        region.close()
        assert same(view, pattern(size))
        view.release()
        del view
        for use in (lambda: region.buffer, region.clone, lambda: tx.send(b"", [region])):
            with pytest.raises(ClosedError):
                use()
        tx.send(b"next")
        assert bag.os_recv(rx)[0] == b"next"

    @SIZES
    def test_transport_shared_memory_outlives_its_maker(
        self, bag: Bag, backend: Backend, size: int
    ) -> None:
        """B86: a region in a message, received or not, does not need the sender's handle."""
        tx, rx = bag.os_channel(backend)
        region = backend.shared_memory(pattern(size))
        tx.send(b"", [region])
        region.close()
        tx.close()
        _, (arrived,) = bag.os_recv(rx)
        rx.close()
        assert same(arrived.buffer, pattern(size))

    def test_transport_shared_memory_in_one_message_twice(self, bag: Bag, backend: Backend) -> None:
        """B86: the same region twice in a message arrives as two handles on one memory."""
        tx, rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(b"region"))
        tx.send(b"", [region, region])
        _, (one, other) = bag.os_recv(rx)
        one.buffer[0] = ord("l")
        one.close()
        assert same(other.buffer, b"legion")
        assert same(region.buffer, b"legion")

    @pytest.mark.threads
    def test_transport_shared_memory_sent_by_threads(self, bag: Bag, backend: Backend) -> None:
        """B94: threads may send the same region at the same time."""
        region = bag.keep(backend.shared_memory(b"region"))

        def send_often() -> int:
            tx, rx = backend.channel()
            for _ in range(200):
                tx.send(b"", [region])
                _, (arrived,) = rx.recv(30)
                assert arrived.buffer == b"region"  # type: ignore[union-attr]
                arrived.close()
            tx.close()
            rx.close()
            return 200

        sending = [bag.thread(send_often) for _ in range(4)]
        assert [thread.result() for thread in sending] == [200] * 4
