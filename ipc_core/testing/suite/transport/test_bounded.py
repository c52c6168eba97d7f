"""Channels with a capacity."""

from __future__ import annotations

import pytest

from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    Capability,
    ClosedError,
    Disconnected,
    Empty,
    Full,
    OsIpcReceiver,
    OsIpcSender,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.payloads import MIB, pattern, same
from ipc_core.testing.timing import AtLeast, Soon


@each_test(requires(Capability.BOUNDED))
class TestTransportBounded:
    @pytest.mark.parametrize("capacity", [1, 2, 50])
    def test_transport_full(self, bag: Bag, backend: Backend, capacity: int) -> None:
        """B85: a channel takes as many messages as its capacity, and one more for each read."""
        tx, rx = bounded(bag, backend, capacity)
        clone = bag.keep(tx.clone())
        for number in range(capacity):
            tx.send(b"%d" % number, timeout=0)
        for timeout in (0, 0.05):
            for sender in (tx, clone):
                with AtLeast(timeout), pytest.raises(Full):
                    sender.send(b"refused", timeout=timeout)
        assert rx.recv(30)[0] == b"0"
        tx.send(b"%d" % capacity, timeout=30)
        for number in range(1, capacity + 1):
            assert rx.recv(30)[0] == b"%d" % number
        with pytest.raises(Empty):
            rx.recv(0)

    def test_transport_full_takes_nothing(self, bag: Bag, backend: Backend) -> None:
        """B85: a send that found the channel full leaves its attachments as they were."""
        tx, rx = bounded(bag, backend, 1)
        moved_tx, moved_rx = bag.os_channel(backend)
        tx.send(pattern(MIB), timeout=30)
        with pytest.raises(Full):
            tx.send(b"", [moved_rx], 0.02)
        moved_tx.send(b"kept")
        assert moved_rx.recv(30)[0] == b"kept"
        assert same(rx.recv(30)[0], pattern(MIB))
        tx.send(b"", [moved_rx], 30)
        _, (receiver,) = bag.os_recv(rx)
        moved_tx.send(b"moved")
        assert receiver.recv(30)[0] == b"moved"

    @pytest.mark.threads
    @pytest.mark.parametrize("timeout", [None, 30])
    def test_transport_send_waits_for_room(
        self, bag: Bag, backend: Backend, timeout: float | None
    ) -> None:
        """B85: a send that waits goes on when a message is received."""
        tx, rx = bounded(bag, backend, 2)

        def send() -> None:
            for number in range(1000):
                tx.send(b"%d" % number, (), timeout)
            tx.close()

        sending = bag.thread(send)
        sending.wait_until_asleep()
        for number in range(1000):
            assert rx.recv(30)[0] == b"%d" % number
        with pytest.raises(Disconnected):
            rx.recv(30)
        sending.result()

    @pytest.mark.threads
    def test_transport_send_is_ended(self, bag: Bag, backend: Backend) -> None:
        """B85: a send that waits is ended by closing the receiver or, in another thread, the
        sender."""
        for closed, expected in ((1, BrokenChannelError), (0, ClosedError)):
            ends = bounded(bag, backend, 1)
            ends[0].send(b"fills")
            sending = bag.thread(ends[0].send, b"waits")
            sending.wait_until_asleep()
            with Soon():
                ends[closed].close()
                with pytest.raises(expected):
                    sending.result()


def bounded(bag: Bag, backend: Backend, capacity: int) -> tuple[OsIpcSender, OsIpcReceiver]:
    tx, rx = backend.channel(capacity)
    return bag.keep(tx), bag.keep(rx)
