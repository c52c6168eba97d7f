"""Descriptors that poll readable when there is something."""

from __future__ import annotations

from typing import Any

import pytest

from ipc_core.spi import Backend, Capability, Disconnected, Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test, requires, slow
from ipc_core.testing.payloads import MIB, pattern, same


@each_test(requires(Capability.FILENO))
class TestTransportFileno:
    def test_transport_fileno_of_receiver(self, bag: Bag, backend: Backend) -> None:
        """B88, B89: a receiver's descriptor is readable while there is a message or an end."""
        tx, rx = bag.os_channel(backend)
        fileno = rx.fileno()
        assert fileno is not None
        assert not readable(fileno, 0)
        for size in (0, 1, 20_000, MIB):
            tx.send(pattern(size))
            assert readable(fileno, 30)
            assert rx.fileno() == fileno
            assert same(bag.os_recv(rx, 0)[0], pattern(size))
            assert not readable(fileno, 0)
        tx.close()
        assert readable(fileno, 30)
        with pytest.raises(Disconnected):
            rx.recv(0)
        assert readable(fileno, 0)

    @slow
    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("when", ["before", "queued", "half-read", "moved"])
    def test_transport_fileno_with_a_long_queue(
        self, bag: Bag, backend: Backend, when: str
    ) -> None:
        """B88: the descriptor is readable until the last message of a long queue was received,
        and where the queue is drained it is not, whenever it was asked for."""
        tx, rx = bag.os_channel(backend)
        fileno = rx.fileno() if when == "before" else None
        for number in range(20_000):
            tx.send(b"%d" % number)
        start = 10_000 if when in ("half-read", "moved") else 0
        for number in range(start):
            assert rx.recv(30)[0] == b"%d" % number
        if when == "moved":
            outer_tx, outer_rx = bag.os_channel(backend)
            outer_tx.send(b"", [rx])
            _, (rx,) = bag.os_recv(outer_rx)
        fileno = fileno or rx.fileno()
        for number in range(start, 20_000):
            assert readable(fileno, 0), f"not readable with {20_000 - number} messages left"
            assert rx.recv(0)[0] == b"%d" % number
        assert rx.fileno() == fileno
        with pytest.raises(Empty):
            rx.recv(0)
        assert not readable(fileno, 0)
        tx.send(b"x")
        assert readable(fileno, 30)
        tx.close()
        assert rx.recv(0)[0] == b"x"
        assert readable(fileno, 0)

    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("limit", [1, 64])
    def test_transport_fileno_of_set(self, bag: Bag, backend: Backend, limit: int) -> None:
        """B88: a set's descriptor is readable as long as `select` returns something, also when a
        member holds more than its system buffer, and after `wake`."""
        members = bag.keep(backend.receiver_set())
        fileno = members.fileno()
        senders = [bag.os_channel(backend) for _ in range(2)]
        for id, (_, rx) in enumerate(senders):
            members.add(rx, id)
        assert not readable(fileno, 0)
        for tx, _ in senders:
            for number in range(5000):
                tx.send(b"%d" % number)
        seen = 0
        while seen < 2 * 5000:
            assert readable(fileno, 0), f"not readable with {2 * 5000 - seen} messages left"
            seen += len(members.select(0, limit))
        assert members.fileno() == fileno
        assert members.select(0) == []
        assert not readable(fileno, 0)
        senders[0][0].close()
        assert readable(fileno, 30)
        assert members.select(0, limit) == [(0, None, ())]
        members.wake()
        assert readable(fileno, 30)
        assert members.select(0, limit) == []
        assert not readable(fileno, 0)


def readable(fileno: Any, timeout: float) -> bool:
    """Whether a descriptor polls readable within `timeout` seconds."""
    from selectors import EVENT_READ, DefaultSelector

    with DefaultSelector() as selector:
        selector.register(fileno, EVENT_READ)
        return bool(selector.select(timeout))
