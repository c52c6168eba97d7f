"""The ends of a channel learn that the other is gone; closing and cloning handles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    Capability,
    ClosedError,
    Disconnected,
    Empty,
    IpcError,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.payloads import MIB, PACKET, SENTENCE, pattern, same
from ipc_core.testing.timing import AtLeast, Soon

MANY = 1_000_000
"""Sends or polls after which a test stops to expect a change."""


class TestTransportDisconnect:
    def test_transport_no_senders_notification(self, bag: Bag, backend: Backend) -> None:
        """B82: without senders a receive that would wait for ever is Disconnected, each time."""
        tx, rx = bag.os_channel(backend)
        tx.close()
        for timeout in (None, 0, 30):
            with pytest.raises(Disconnected):
                rx.recv(timeout)

    def test_transport_messages_precede_disconnect(self, bag: Bag, backend: Backend) -> None:
        """B82: accepted messages arrive after their sender is gone, and before Disconnected."""
        tx, rx = bag.os_channel(backend)
        sizes = [7, MIB, 0, PACKET, 1] + [10] * 1000
        for size in sizes:
            tx.send(pattern(size))
        tx.close()
        for size in sizes:
            assert same(bag.os_recv(rx)[0], pattern(size))
        with pytest.raises(Disconnected):
            rx.recv(None)

    @pytest.mark.parametrize("unread", [0, 1, 1000])
    def test_transport_no_receiver_notification(
        self, bag: Bag, backend: Backend, unread: int
    ) -> None:
        """B83-B84: without a receiver a send fails with BrokenChannelError, and so do the next,
        whether messages were left unread or not."""
        tx, rx = bag.os_channel(backend)
        for _ in range(unread):
            tx.send(SENTENCE)
        rx.close()
        sent, error = repeated(lambda number: tx.send(SENTENCE))
        assert isinstance(error, BrokenChannelError)
        assert not isinstance(error, Disconnected)
        if Capability.PROMPT_DISCONNECT in backend.capabilities:
            assert sent == 0
        for payload in (SENTENCE, b"", pattern(MIB), SENTENCE):
            with pytest.raises(BrokenChannelError):
                tx.send(payload)

    @pytest.mark.threads
    def test_transport_no_receiver_notification_delayed(self, bag: Bag, backend: Backend) -> None:
        """B85: a receiver that another thread closes during sends ends them."""
        tx, rx = bag.os_channel(backend)
        go = threading.Event()
        closing = bag.thread(close_after, go, rx)

        def send(number: int) -> None:
            tx.send(SENTENCE)
            if number == 100:
                go.set()

        assert isinstance(repeated(send)[1], BrokenChannelError)
        closing.result()

    def test_transport_no_senders_notification_try_recv(self, bag: Bag, backend: Backend) -> None:
        """B89: a poll finds the channel empty while there is a sender, then disconnected."""
        tx, rx = bag.os_channel(backend)
        with pytest.raises(Empty):
            rx.recv(0)
        tx.close()
        if Capability.PROMPT_DISCONNECT in backend.capabilities:
            with pytest.raises(Disconnected):
                rx.recv(0)
        with pytest.raises(Disconnected):
            rx.recv(30)

    @pytest.mark.threads
    def test_transport_no_senders_notification_try_recv_delayed(
        self, bag: Bag, backend: Backend
    ) -> None:
        """B90: polls say Empty until another thread closes the sender, and then Disconnected."""
        tx, rx = bag.os_channel(backend)
        go = threading.Event()
        closing = bag.thread(close_after, go, tx)

        def poll(number: int) -> None:
            with pytest.raises(Empty):
                rx.recv(0)
            if number == 100:
                go.set()

        assert isinstance(repeated(poll)[1], Disconnected)
        closing.result()

    @pytest.mark.threads
    def test_transport_disconnect_wakes_recv(self, bag: Bag, backend: Backend) -> None:
        """B82: a receive that waits is told when the last sender goes."""
        for timeout in (None, 30):
            tx, rx = bag.os_channel(backend)
            other = bag.keep(tx.clone())
            receiving = bag.thread(rx.recv, timeout)
            receiving.wait_until_asleep()
            tx.close()
            other.close()
            with pytest.raises(Disconnected):
                receiving.result()

    def test_transport_clone_keeps_channel_connected(self, bag: Bag, backend: Backend) -> None:
        """B82, B83: a clone sends on the same channel, in order, also when the original is gone."""
        tx, rx = bag.os_channel(backend)
        clone = bag.keep(tx.clone())
        second = bag.keep(clone.clone())
        tx.send(b"1")
        clone.send(b"2")
        second.send(b"3")
        tx.close()
        second.close()
        clone.send(b"4")
        assert [bag.os_recv(rx)[0] for _ in range(4)] == [b"1", b"2", b"3", b"4"]
        with pytest.raises(Empty):
            rx.recv(0.02)
        clone.close()
        with pytest.raises(Disconnected):
            rx.recv(30)

    def test_transport_closed_handles(self, bag: Bag, backend: Backend) -> None:
        """B82: every method of a closed handle raises ClosedError; closing it again does
        nothing."""
        tx, rx = bag.os_channel(backend)
        other_tx, _ = bag.os_channel(backend)
        tx.send(b"unread")
        for handle in (tx, rx):
            handle.close()
            handle.close()
        uses: list[Callable[[], object]] = [
            lambda: tx.send(b""),
            lambda: tx.send(pattern(MIB), [other_tx]),
            tx.clone,
            lambda: tx.wait_closed(0),
            lambda: rx.recv(0),
            lambda: rx.recv(None),
            lambda: other_tx.send(b"", [tx]),
            lambda: other_tx.send(b"", [rx]),
        ]
        for use in uses:
            with pytest.raises(ClosedError):
                use()

    @pytest.mark.threads
    @pytest.mark.parametrize("timeout", [None, 30])
    def test_transport_close_wakes_recv(
        self, bag: Bag, backend: Backend, timeout: float | None
    ) -> None:
        """B82: `close` in one thread ends all receives that wait in others with ClosedError."""
        tx, rx = bag.os_channel(backend)
        receiving = [bag.thread(rx.recv, timeout) for _ in range(3)]
        for thread in receiving:
            thread.wait_until_asleep()
        with Soon():
            rx.close()
            for thread in receiving:
                with pytest.raises(ClosedError):
                    thread.result()
        assert tx.wait_closed(30)

    @pytest.mark.threads
    def test_transport_close_races_recv(self, bag: Bag, backend: Backend) -> None:
        """B82: a receive that has only just begun, or was served, ends too."""
        for _ in range(100):
            tx, rx = bag.os_channel(backend)
            receiving = bag.thread(received_until_closed, rx)
            tx.send(b"x")
            rx.close()
            assert receiving.result() <= 1
            tx.close()

    @pytest.mark.threads
    def test_transport_close_races_send(self, bag: Bag, backend: Backend) -> None:
        """B94: a send during which its sender is closed either arrives or raises ClosedError."""
        for _ in range(50):
            tx, rx = bag.os_channel(backend)
            sending = bag.thread(sent_until_closed, tx)
            bag.os_recv(rx)
            tx.close()
            accepted = sending.result()
            for number in range(1, accepted):
                assert bag.os_recv(rx)[0] == b"%d" % number
            with pytest.raises(Disconnected):
                rx.recv(30)
            rx.close()

    def test_transport_wait_closed(self, bag: Bag, backend: Backend) -> None:
        """B83: a sender can wait for its receiver to go, in vain for all of the timeout."""
        tx, rx = bag.os_channel(backend)
        assert not tx.wait_closed(0)
        with AtLeast(0.05):
            assert not tx.wait_closed(0.05)
        tx.send(b"unread")
        assert not tx.wait_closed(0)
        rx.close()
        for timeout in (30, None, 0):
            assert tx.wait_closed(timeout)
        tx.close()

    @pytest.mark.threads
    def test_transport_wait_closed_is_woken(self, bag: Bag, backend: Backend) -> None:
        """B83: a wait for the receiver to go ends on every clone."""
        tx, rx = bag.os_channel(backend)
        clone = bag.keep(tx.clone())
        waiting = [bag.thread(end.wait_closed, None) for end in (tx, tx, clone)]
        for thread in waiting:
            thread.wait_until_asleep()
        tx.send(b"does not wake")
        rx.close()
        assert all(thread.result() is True for thread in waiting)

    @pytest.mark.threads
    def test_transport_close_wakes_wait_closed(self, bag: Bag, backend: Backend) -> None:
        """B83: closing a sender ends the `wait_closed` of other threads on this very handle."""
        tx, _ = bag.os_channel(backend)
        clone = bag.keep(tx.clone())
        waiting = bag.thread(tx.wait_closed, None)
        waiting.wait_until_asleep()
        with Soon():
            tx.close()
            with pytest.raises(ClosedError):
                waiting.result()
        assert not clone.wait_closed(0)

    @requires(Capability.PROMPT_DISCONNECT)
    def test_transport_ends_are_told_at_once(self, bag: Bag, backend: Backend) -> None:
        """B82, B83: a backend that claims prompt disconnects reports them at the very next call."""
        for size in (1, PACKET, MIB):
            tx, rx = bag.os_channel(backend)
            tx.send(pattern(size))
            rx.close()
            assert tx.wait_closed(0)
            with pytest.raises(BrokenChannelError):
                tx.send(b"")
            tx, rx = bag.os_channel(backend)
            tx.send(pattern(size))
            tx.close()
            assert same(rx.recv(0)[0], pattern(size))
            with pytest.raises(Disconnected):
                rx.recv(0)


def repeated(step: Callable[[int], object]) -> tuple[int, IpcError]:
    """Call `step` until it raises; return how often it did not, and the exception."""
    for number in range(MANY):
        try:
            step(number)
        except IpcError as error:
            return number, error
    pytest.fail(f"nothing changed in {MANY} steps")


def close_after(go: threading.Event, handle: Any) -> None:
    go.wait(10)
    handle.close()


def received_until_closed(rx: Any) -> int:
    count = 0
    while True:
        try:
            rx.recv(None)
        except ClosedError:
            return count
        count += 1


def sent_until_closed(tx: Any) -> int:
    """How many messages a sender accepted, which carry their numbers."""
    count = 0
    while True:
        try:
            tx.send(b"%d" % count)
        except ClosedError:
            return count
        count += 1
