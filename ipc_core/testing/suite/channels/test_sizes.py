"""Payloads of every size, above all around those at which a backend changes its method."""

from __future__ import annotations

import random

from ipc_core.spi import Backend
from ipc_core.testing.bag import Bag

LARGEST = 64 << 20
"""The largest hint that is tested, since the tests run on small machines too."""


class TestSizes:
    def test_small_sizes(self, bag: Bag) -> None:
        """I86: every size from 0 to 64 arrives exactly."""
        tx, rx = bag.bytes_channel()
        for size in range(65):
            tx.send(_payload(size))
        for size in range(65):
            assert rx.recv() == _payload(size)

    def test_sizes_around_hints(self, bag: Bag, backend: Backend) -> None:
        """I86: sizes around each of the backend's hints, and twice that, arrive exactly."""
        tx, rx = bag.bytes_channel()
        for size in _sizes(backend):
            payload = _payload(size)
            tx.send(payload)
            assert rx.recv() == payload, size

    def test_queued_sizes_around_hints(self, bag: Bag, backend: Backend) -> None:
        """I86, I19: messages of these sizes arrive in order when all wait in the queue."""
        tx, rx = bag.bytes_channel()
        sizes = _sizes(backend)
        for size in sizes:
            tx.send(_payload(size))
        tx.close()
        assert [len(message) for message in rx] == sizes

    def test_typed_sizes_with_an_endpoint(self, bag: Bag, backend: Backend) -> None:
        """I86: an endpoint arrives in a message of any size."""
        tx, rx = bag.channel()
        sub_tx, sub_rx = bag.channel()
        for size in _sizes(backend):
            payload = _payload(size)
            tx.send((payload, sub_tx))
            received, sender = rx.recv()
            with sender:
                sender.send(size)
            assert received == payload, size
            assert sub_rx.recv() == size


def _payload(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _sizes(backend: Backend) -> list[int]:
    sizes = {1024, 65_536, 1 << 20, (1 << 20) + 1}
    for hint in backend.size_hints:
        sizes |= {hint - 1, hint, hint + 1, hint + 8, 2 * hint - 1, 2 * hint, 2 * hint + 1}
        sizes |= {hint - overhead for overhead in range(2, 65, 3)}
    return sorted(size for size in sizes if 0 <= size <= LARGEST)
