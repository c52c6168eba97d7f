"""Polls, timeouts, signals and threads that wait."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from ipc_core.messages.message import copied
from ipc_core.spi import Backend, Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.payloads import MIB, SENTENCE, pattern, same
from ipc_core.testing.states import wait_until
from ipc_core.testing.timing import AtLeast, Soon

LONGEST = [30, 1e7, 1e10, 1e300]
"""Seconds; the last ones are more than any system call takes."""


class TestTransportWaiting:
    def test_transport_try_recv(self, bag: Bag, backend: Backend) -> None:
        """B88: a poll returns a queued message, once, and otherwise raises Empty."""
        tx, rx = bag.os_channel(backend)
        with pytest.raises(Empty):
            rx.recv(0)
        tx.send(SENTENCE)
        assert bag.os_recv(rx, 0)[0] == SENTENCE
        with pytest.raises(Empty):
            rx.recv(0)

    def test_transport_when_ready(self, bag: Bag, backend: Backend) -> None:
        """B36: where there is no descriptor, `when_ready` calls back once when there is a message,
        or no sender is left, and never once it was taken back; nothing of it stays."""
        tx, rx = bag.os_channel(backend)
        if rx.fileno() is not None:
            pytest.skip("its receivers have a descriptor")
        calls: list[str] = []
        rx.when_ready(lambda: calls.append("taken back"))()
        rx.when_ready(lambda: calls.append("message"))
        tx.send(SENTENCE)
        wait_until(lambda: calls, "a message calls back")
        assert bag.os_recv(rx)[0] == SENTENCE
        rx.when_ready(lambda: calls.append("end"))
        tx.close()
        wait_until(lambda: len(calls) > 1, "the end calls back")
        assert calls == ["message", "end"]

    @pytest.mark.threads
    def test_transport_try_recv_large(self, bag: Bag, backend: Backend) -> None:
        """B91: polls during a large send never see a part of the message, nor lose it."""
        tx, rx = bag.os_channel(backend)
        with pytest.raises(Empty):
            rx.recv(0)
        sending = bag.thread(tx.send, pattern(MIB))
        assert same(polled(rx), pattern(MIB))
        sending.result()
        with pytest.raises(Empty):
            rx.recv(0)

    @pytest.mark.threads
    def test_transport_try_recv_large_delayed(self, bag: Bag, backend: Backend) -> None:
        """B92: polls get each of ten threads' large messages whole, and nothing else."""
        tx, rx = bag.os_channel(backend)
        start = threading.Barrier(10)

        def send(number: int) -> None:
            start.wait(10)
            tx.send(pattern(MIB // 2, 13, number << 4))

        sending = [bag.thread(send, number) for number in range(10)]
        seen = []
        for _ in sending:
            data = polled(rx)
            seen.append(data[0] >> 4)
            assert same(data, pattern(MIB // 2, 13, seen[-1] << 4))
        assert sorted(seen) == list(range(10))
        for thread in sending:
            thread.result()
        with pytest.raises(Empty):
            rx.recv(0)

    @pytest.mark.parametrize("timeout", [0.0004, 0.0015, 0.05])
    def test_transport_timeouts_are_waited_out(
        self, bag: Bag, backend: Backend, timeout: float
    ) -> None:
        """B88: a timeout is waited for to the end, also below a millisecond, by everything
        that waits."""
        tx, rx = bag.os_channel(backend)
        members = bag.keep(backend.receiver_set())
        server = bag.keep(backend.one_shot_server())
        with AtLeast(timeout), pytest.raises(Empty):
            rx.recv(timeout)
        with AtLeast(timeout):
            assert not tx.wait_closed(timeout)
        with AtLeast(timeout):
            assert not members.select(timeout)
        members.add(rx, 1)
        with AtLeast(timeout):
            assert not members.select(timeout)
        with AtLeast(timeout), pytest.raises(Empty):
            server.accept(timeout)

    @pytest.mark.parametrize("timeout", LONGEST)
    def test_transport_long_timeouts_need_not_pass(
        self, bag: Bag, backend: Backend, timeout: float
    ) -> None:
        """B88: with a timeout of any length, a queued message is returned at once."""
        tx, rx = bag.os_channel(backend)
        members = bag.keep(backend.receiver_set())
        server = bag.keep(backend.one_shot_server())
        client = bag.keep(backend.connect(server.name))
        client.send(b"client")
        with Soon():
            tx.send(SENTENCE)
            assert rx.recv(timeout)[0] == SENTENCE
            members.add(rx, 1)
            tx.send(SENTENCE)
            assert [data for _, data, _ in members.select(timeout)] == [SENTENCE]
            accepted, data, _ = server.accept(timeout)
            bag.keep(accepted)
            assert data == b"client"
            accepted.close()
            assert client.wait_closed(timeout)

    @pytest.mark.threads
    @pytest.mark.parametrize("timeout", [None, *LONGEST])
    def test_transport_waiting_is_ended_by_a_message(
        self, bag: Bag, backend: Backend, timeout: float | None
    ) -> None:
        """B91: with a timeout of any length, a message that arrives ends the wait."""
        tx, rx = bag.os_channel(backend)
        set_tx, set_rx = bag.os_channel(backend)
        members = bag.keep(backend.receiver_set())
        members.add(set_rx, 5)
        server = bag.keep(backend.one_shot_server())
        waiting = [
            bag.thread(rx.recv, timeout),
            bag.thread(members.select, timeout),
            bag.thread(server.accept, timeout),
            bag.thread(tx.wait_closed, timeout),
        ]
        for thread in waiting:
            thread.wait_until_asleep()
        with Soon():
            tx.send(b"received")
            set_tx.send(b"selected")
            bag.keep(backend.connect(server.name)).send(b"accepted")
            assert bytes(waiting[0].result()[0]) == b"received"
            assert [(id, bytes(data)) for id, data, _ in waiting[1].result()] == [(5, b"selected")]
            accepted, data, _ = waiting[2].result()
            bag.keep(accepted)
            assert bytes(data) == b"accepted"
            rx.close()
            assert waiting[3].result() is True

    @pytest.mark.threads
    def test_transport_waiting_lets_other_threads_run(self, bag: Bag, backend: Backend) -> None:
        """B93: a thread that waits does not hold up another that waits for something else."""
        ping_tx, ping_rx = bag.os_channel(backend)
        pong_tx, pong_rx = bag.os_channel(backend)

        def answer() -> None:
            for _ in range(200):
                pong_tx.send(copied(ping_rx.recv(None)[0]))

        answering = bag.thread(answer)
        for number in range(200):
            ping_tx.send(b"%d" % number)
            assert pong_rx.recv(30)[0] == b"%d" % number
        answering.result()

    @pytest.mark.threads
    @pytest.mark.parametrize("what", ["recv", "select", "accept", "wait_closed"])
    def test_transport_signals_do_not_shorten_a_wait(
        self, bag: Bag, backend: Backend, what: str
    ) -> None:
        """B69: signals are handled during a wait, which then goes on for the time that is left."""
        wait = waits(bag, backend)[what]
        handled = []
        with signals(bag, lambda: handled.append(1)), AtLeast(0.1):
            wait(0.1)
        assert handled

    @pytest.mark.threads
    @pytest.mark.parametrize("timeout", [30, None])
    @pytest.mark.parametrize("what", ["recv", "select", "accept", "wait_closed"])
    def test_transport_keyboard_interrupt_ends_a_wait(
        self, bag: Bag, backend: Backend, what: str, timeout: float | None
    ) -> None:
        """B69: an exception from a signal handler, like that of Ctrl-C, comes through at once
        and leaves everything usable."""
        wait = waits(bag, backend)[what]
        handled = []

        def interrupt() -> None:
            handled.append(1)
            if len(handled) == 5:
                raise KeyboardInterrupt

        with Soon(), signals(bag, interrupt), pytest.raises(KeyboardInterrupt):
            wait(timeout)
        wait(0)
        tx, rx = bag.os_channel(backend)
        tx.send(b"works")
        assert bag.os_recv(rx)[0] == b"works"


def polled(rx: Any) -> bytes:
    """The next message, by polls only."""
    with Soon(30):
        while True:
            try:
                return copied(rx.recv(0)[0])
            except Empty:
                continue


def waits(bag: Bag, backend: Backend) -> dict[str, Callable[[float | None], None]]:
    """Return the waits to try in vain, each with a timeout."""
    tx, rx = bag.os_channel(backend)
    _, set_rx = bag.os_channel(backend)
    members = bag.keep(backend.receiver_set())
    members.add(set_rx, 1)
    server = bag.keep(backend.one_shot_server())

    def recv(timeout: float | None) -> None:
        with pytest.raises(Empty):
            rx.recv(timeout)

    def select(timeout: float | None) -> None:
        assert not members.select(timeout)

    def accept(timeout: float | None) -> None:
        with pytest.raises(Empty):
            server.accept(timeout)

    def wait_closed(timeout: float | None) -> None:
        assert not tx.wait_closed(timeout)

    return {"recv": recv, "select": select, "accept": accept, "wait_closed": wait_closed}


@contextmanager
def signals(bag: Bag, handler: Callable[[], object]) -> Iterator[None]:
    """Send this thread a signal every few milliseconds; call `handler` for each."""
    if sys.platform == "win32" or not hasattr(signal, "SIGUSR1"):
        pytest.skip("this system has no SIGUSR1")
    number = signal.SIGUSR1
    me = threading.get_ident()
    over = threading.Event()

    def pester() -> None:
        while not over.wait(0.01):
            signal.pthread_kill(me, number)

    def handle(number: int, frame: FrameType | None) -> None:
        handler()

    before = signal.signal(number, handle)
    try:
        sending = bag.thread(pester)
        try:
            yield
        finally:
            over.set()
            sending.result()
    finally:
        signal.signal(number, before)
