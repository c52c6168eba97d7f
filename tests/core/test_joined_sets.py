"""Receiver sets over several backends at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import ipc_core
from ipc_core import ChannelClosed, Empty, IpcReceiverSet, MessageReceived
from ipc_core.testing.states import wait_until, wait_until_asleep

BACKENDS = ("unix", "inprocess")
SOON = 20


@pytest.fixture
def mixed() -> Iterator[tuple[IpcReceiverSet, dict[int, ipc_core.IpcSender[Any]]]]:
    """A set with a receiver of each backend, and their senders by id."""
    senders = {}
    with IpcReceiverSet() as group:
        for backend in BACKENDS:
            tx, rx = ipc_core.channel(backend=backend)
            senders[group.add(rx)] = tx
        yield group, senders
        for tx in senders.values():
            tx.close()


Mixed = tuple[IpcReceiverSet, dict[int, ipc_core.IpcSender[Any]]]


def test_what_is_there_is_returned(mixed: Mixed) -> None:
    group, senders = mixed
    for id, tx in senders.items():
        tx.send(f"for {id}")
    got = {}
    while len(got) < len(senders):
        for result in group.select():
            assert isinstance(result, MessageReceived)
            got[result.id] = result.message.to()
    assert got == {id: f"for {id}" for id in senders}
    with pytest.raises(Empty):
        group.try_select()
    with pytest.raises(Empty):
        group.try_select_timeout(0.02)


@pytest.mark.parametrize("which", range(len(BACKENDS)))
def test_a_wait_ends_when_any_of_them_has_something(mixed: Mixed, which: int) -> None:
    group, senders = mixed
    id = list(senders)[which]
    for i in range(50):
        timer = threading.Thread(target=senders[id].send, args=(i,))
        timer.start()
        (result,) = group.select()
        timer.join()
        assert isinstance(result, MessageReceived)
        assert (result.id, result.message.to()) == (id, i)
    assert threading.active_count() == 1


def test_disconnects_and_removal(mixed: Mixed) -> None:
    group, senders = mixed
    first, second = senders
    senders[first].close()
    assert group.select() == [ChannelClosed(first)]
    with group.remove(second) as receiver:
        senders[second].send("back")
        assert isinstance(receiver, ipc_core.IpcReceiver)
        assert receiver.recv() == "back"
    with pytest.raises(ValueError, match="empty"):
        group.select()


def test_a_receiver_of_another_backend_is_added_during_a_wait() -> None:
    tx, rx = ipc_core.channel(backend="unix")
    other_tx, other_rx = ipc_core.channel(backend="inprocess")
    with IpcReceiverSet() as group, tx, other_tx:
        group.add(rx)
        results: list[Any] = []
        waiting = threading.Thread(target=lambda: results.extend(group.select()))
        waiting.start()
        id = group.add(other_rx)
        other_tx.send("seen")
        waiting.join(SOON)
        assert not waiting.is_alive()
        assert [(r.id, r.message.to()) for r in results] == [(id, "seen")]


def test_close_ends_a_wait(mixed: Mixed) -> None:
    group, _ = mixed
    errors: list[type] = []

    def wait() -> None:
        try:
            group.select()
        except ipc_core.ClosedError as error:
            errors.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    group.close()
    waiting.join(SOON)
    assert errors == [ipc_core.ClosedError]


def test_each_message_ends_the_wait_of_one_thread(mixed: Mixed) -> None:
    """Two threads select; every message goes out only when the one before has been taken."""
    group, senders = mixed
    by_turns = list(senders.values())
    got: list[Any] = []

    def select_for_ever() -> None:
        with suppress(ipc_core.ClosedError):
            while True:
                got.extend(r.message.to() for r in group.select() if isinstance(r, MessageReceived))

    threads = [threading.Thread(target=select_for_ever) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(400):
            by_turns[number % len(by_turns)].send(number)
            wait_until(lambda: len(got) > number, "the message is taken", SOON)  # noqa: B023
    finally:
        group.close()
        for thread in threads:
            thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)
    assert got == list(range(400))


def test_two_threads_that_select_once(mixed: Mixed) -> None:
    """A result that one of them has no use for is left to the other."""
    group, senders = mixed
    tx = list(senders.values())[-1]
    for _ in range(20):
        got: list[list[Any]] = []

        def select(got: list[list[Any]] = got) -> None:
            got.append([r.message.to() for r in group.select() if isinstance(r, MessageReceived)])

        threads = [threading.Thread(target=select, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            wait_until_asleep(thread)
        for count, message in enumerate(("one", "two"), 1):
            tx.send(message)
            wait_until(lambda: len(got) == count, "a select returns", SOON)  # noqa: B023
        for thread in threads:
            thread.join(SOON)
        assert got == [["one"], ["two"]]


def test_ctrl_c_loses_no_message(mixed: Mixed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that helpers received while this thread was interrupted come later."""
    group, senders = mixed
    first_part = next(iter(group._sets._parts.values()))
    real, calls = first_part.select, 0

    def interrupted(timeout: float | None, limit: int = 64) -> Any:
        nonlocal calls
        calls += 1
        if timeout is None:
            for id, tx in senders.items():
                tx.send(id)
            raise KeyboardInterrupt
        return real(timeout, limit)

    monkeypatch.setattr(first_part, "select", interrupted)
    with pytest.raises(KeyboardInterrupt):
        group.select()
    monkeypatch.undo()
    got = set()
    while len(got) < len(senders):
        got |= {r.message.to() for r in group.select() if isinstance(r, MessageReceived)}
    assert got == set(senders)


def test_an_error_of_one_backend_loses_no_message_of_another(
    mixed: Mixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, senders = mixed
    for id, tx in senders.items():
        tx.send(id)
    failing = iter([True, True])

    for part in group._sets._parts.values():
        real = part.select

        def once(timeout: float | None, limit: int = 64, real: Any = real) -> Any:
            found = real(timeout, limit)
            if not found and next(failing, False):
                raise KeyboardInterrupt
            return found

        monkeypatch.setattr(part, "select", once)
    got: set[Any] = set()
    while len(got) < len(senders):
        with suppress(KeyboardInterrupt):
            got |= {r.message.to() for r in group.select() if isinstance(r, MessageReceived)}
    assert got == set(senders)


def test_a_busy_backend_starves_no_other(mixed: Mixed) -> None:
    group, senders = mixed
    for id, tx in senders.items():
        for _ in range(20):
            tx.send(id)
    seen = [result.id for _ in range(20) for result in group.wait(0, limit=1)]
    assert len(seen) == 20
    assert [seen.count(id) for id in senders] == [10, 10]


def test_a_router_steps_over_several_backends_one_message_at_a_time() -> None:
    """An interrupt in a callback leaves the messages of the others to the next step."""
    with ipc_core.Router(threaded=False) as router:
        got: list[Any] = []

        def receive(message: Any) -> None:
            got.append(message)
            if len(got) == 1:
                raise KeyboardInterrupt

        senders = []
        for backend in BACKENDS:
            tx, rx = ipc_core.channel(backend=backend)
            router.add_route(rx, receive)
            senders.append(tx)
        for tx in senders:
            for number in range(3):
                tx.send(number)
        with pytest.raises(KeyboardInterrupt):
            router.step(0)
        assert router.step(0) == 5
        assert sorted(got) == [0, 0, 1, 1, 2, 2]
        for tx in senders:
            tx.close()
