"""Actions of other threads, forks and signal handlers in the middle of a call."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ipc_backend_unix import incoming, sender, writer

import ipc_core
from ipc_core import BrokenChannelError, ClosedError, Empty
from ipc_core.plugins import choice
from ipc_core.testing.bag import Bag
from ipc_core.testing.states import wait_until_asleep
from ipc_core.testing.timing import GENEROUS, Soon


@pytest.fixture
def bag() -> Any:
    ipc_core.set_default_backend("unix")
    with Bag() as bag:
        yield bag
    ipc_core.set_default_backend(None)


def elsewhere(action: Callable[[], object]) -> None:
    """Have another thread do it, all of it, now."""
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def test_a_sender_is_closed_as_a_wait_for_its_receiver_begins(
    bag: Bag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close comes before the wait can be told of it."""
    tx, _ = bag.channel()
    clone = tx.clone()
    flag = sender.Flag

    def made_too_late() -> Any:
        made = flag()
        elsewhere(clone.close)
        return made

    monkeypatch.setattr(sender, "Flag", made_too_late)
    with Soon(), pytest.raises(ClosedError):
        clone.wait_closed(3 * GENEROUS)


def test_a_receiver_is_closed_as_it_is_sent(bag: Bag, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver belongs to the other end once its message is in the socket, and works."""
    carrier_tx, carrier_rx = bag.channel()
    tx, rx = bag.channel()
    tx.send("queued")
    send_packet = writer.send_packet

    def and_close(*arguments: Any) -> None:
        send_packet(*arguments)
        elsewhere(rx.close)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "send_packet", and_close)
        carrier_tx.send(rx)
    moved = bag.recv(carrier_rx)
    tx.send("later")
    assert [moved.recv(), moved.recv()] == ["queued", "later"]


def test_a_signal_handler_closes_the_set_that_is_waited_for(bag: Bag) -> None:
    _, rx = bag.channel()
    members = bag.receiver_set()
    members.add(rx)
    waiting = threading.current_thread()

    def interrupt() -> None:
        wait_until_asleep(waiting)
        assert waiting.ident
        signal.pthread_kill(waiting.ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: members.close())
    try:
        interrupter = bag.thread(interrupt)
        with pytest.raises(ClosedError):
            members.try_select_timeout(3 * GENEROUS)
        interrupter.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("many_switches")
def test_large_sends_of_clones_to_a_receiver_that_closes() -> None:
    """The first clone that finds the receiver gone gives back the memory that all share."""
    data = bytes(40_000)
    for _ in range(60):
        tx, rx = choice.backend("unix").channel()
        with Bag() as bag:
            bag.keep(tx)

            def send(tx: Any = tx, bag: Bag = bag) -> None:
                clone = bag.keep(tx.clone())
                while True:
                    clone.send(data)

            workers = [bag.thread(send) for _ in range(4)]
            for _ in range(5):
                rx.recv(GENEROUS)
            rx.close()
            for worker in workers:
                with pytest.raises(BrokenChannelError):
                    worker.result()


def test_polls_in_several_threads_drain_a_receiver(bag: Bag) -> None:
    """Empty means that nothing is left, but for messages that other threads have in their hands."""
    total, threads = 3000, 4
    tx, rx = bag.channel()
    for number in range(total):
        tx.send(number)
    taken: list[int] = []

    def drain() -> int:
        while True:
            try:
                taken.append(rx.try_recv())
            except Empty:
                return total - len(taken)

    left = [worker.result() for worker in [bag.thread(drain) for _ in range(threads)]]
    assert max(left) < threads
    assert sorted(taken) == list(range(total))


def test_a_poll_while_another_thread_opens_the_overflow_log(
    bag: Bag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has left the socket and is not yet open: its messages are still to be received."""
    tx, rx = bag.channel()
    total = 1000
    for number in range(total):
        tx.send(number)
    open_log, polls = incoming.open_log, []

    def and_poll(*arguments: Any) -> Any:
        polls.append(bag.thread(rx.try_recv))
        polls[-1].join(0.1)
        return open_log(*arguments)

    monkeypatch.setattr(incoming, "open_log", and_poll)
    taken = [rx.recv() for _ in range(total - 1)]
    (poll,) = polls
    assert sorted([*taken, poll.result()]) == list(range(total))
