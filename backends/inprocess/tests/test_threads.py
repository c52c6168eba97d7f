"""Many threads at once. Each wait has an end, so that a lost notification is a failure."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from ipc_backend_inprocess import waiting
from ipc_backend_inprocess.backend import InprocessBackend

from ipc_core.spi import BrokenChannelError, ClosedError, Disconnected, IpcError

pytestmark = pytest.mark.skipif(not waiting.THREADS, reason="no threads on this platform")

WORKERS = 8
MESSAGES = 2000
PATIENCE = 60


@pytest.fixture
def backend() -> InprocessBackend:
    return InprocessBackend()


def together(works: Iterable[Callable[[], None]]) -> None:
    """Run each in a thread of its own; raise the error of any."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a wait did not end"
    if failures:
        raise failures[0]


def blocked(rx: Any) -> None:
    """Return once another thread sleeps in `recv`."""
    while not rx._queue.listeners:
        pass


def sending(tx: Any, worker: int) -> Callable[[], None]:
    def work() -> None:
        for number in range(MESSAGES):
            tx.send(b"%d %d" % (worker, number))
        tx.close()

    return work


def in_order(messages: list[bytes]) -> bool:
    last: dict[bytes, int] = {}
    for message in messages:
        worker, number = message.split()
        if last.get(worker, -1) >= int(number):
            return False
        last[worker] = int(number)
    return True


def test_each_message_goes_to_one_receiver(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    received: list[list[bytes]] = [[] for _ in range(WORKERS)]

    def receiving(mine: list[bytes], timeout: float | None) -> Callable[[], None]:
        def work() -> None:
            with pytest.raises(Disconnected):
                while True:
                    mine.append(rx.recv(timeout)[0])

        return work

    senders = [sending(tx.clone(), worker) for worker in range(WORKERS)]
    tx.close()
    receivers = [receiving(mine, PATIENCE if i % 2 else None) for i, mine in enumerate(received)]
    together(senders + receivers)
    assert all(in_order(mine) for mine in received)
    counts = Counter(message for mine in received for message in mine)
    assert set(counts.values()) == {1}
    assert len(counts) == WORKERS * MESSAGES


def test_a_set_selected_by_many_threads(backend: InprocessBackend) -> None:
    group = backend.receiver_set()
    senders = []
    for worker in range(WORKERS):
        tx, rx = backend.channel()
        group.add(rx, worker)
        senders.append(sending(tx, worker))
    results: list[list[Any]] = [[] for _ in range(WORKERS)]
    ends: list[int] = []

    def selecting(mine: list[Any]) -> Callable[[], None]:
        def work() -> None:
            while len(ends) < WORKERS:
                for id, data, _ in group.select(None, limit=5):
                    if data is None:
                        ends.append(id)
                    else:
                        mine.append(data)
            for _ in range(WORKERS):
                group.wake()

        return work

    together(senders + [selecting(mine) for mine in results])
    counts = Counter(data for mine in results for data in mine)
    assert set(counts.values()) == {1}
    assert len(counts) == WORKERS * MESSAGES
    assert sorted(ends) == list(range(WORKERS))


def test_members_come_and_go_while_others_select(backend: InprocessBackend) -> None:
    group = backend.receiver_set()
    tx, rx = backend.channel()
    connected = tx.clone()  # a member whose senders are gone leaves the set by itself
    group.add(rx, 0)
    received: list[Any] = []
    removed = threading.Event()

    def selecting() -> None:
        while not removed.is_set():
            received.extend(data for _, data, _ in group.select(None) if data is not None)

    def moving() -> None:
        for id in range(MESSAGES):
            back = group.remove(id)
            group.add(back, id + 1)
        removed.set()
        group.wake()

    together([selecting, moving, sending(tx, 0)])
    received.extend(data for _, data, _ in group.select(0, limit=2 * MESSAGES) if data is not None)
    assert len(received) == MESSAGES
    assert sorted(received) == sorted(b"0 %d" % number for number in range(MESSAGES))
    connected.close()


@pytest.mark.parametrize("by", ["close", "disconnect"])
def test_whoever_receives_is_woken(backend: InprocessBackend, by: str) -> None:
    for _ in range(200):
        tx, rx = backend.channel()

        def receive(rx: Any = rx) -> None:
            with pytest.raises(ClosedError if by == "close" else Disconnected):
                rx.recv(None)

        together([receive, receive, rx.close if by == "close" else tx.close])


def test_wait_closed_is_woken(backend: InprocessBackend) -> None:
    for _ in range(200):
        tx, rx = backend.channel()

        def wait(tx: Any = tx) -> None:
            assert tx.wait_closed(None)

        together([wait, wait, rx.close])
        tx, rx = backend.channel()

        def wait_in_vain(tx: Any = tx) -> None:
            with pytest.raises(ClosedError):
                tx.wait_closed(None)

        together([wait_in_vain, tx.close])


def test_a_closed_set_and_a_closed_server_are_woken(backend: InprocessBackend) -> None:
    for _ in range(200):
        group = backend.receiver_set()
        server = backend.one_shot_server()

        def select(group: Any = group) -> None:
            with pytest.raises(ClosedError):
                group.select(None)

        def accept(server: Any = server) -> None:
            with pytest.raises(ClosedError):
                server.accept(None)

        together([select, select, accept, group.close, server.close])


def test_a_receiver_in_use_does_not_move(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    other_tx, _other_rx = backend.channel()
    group = backend.receiver_set()

    def receive() -> None:
        assert rx.recv(None)[0] == b"done"

    def move() -> None:
        blocked(rx)
        with pytest.raises(IpcError, match="another thread"):
            other_tx.send(b"", [rx])
        with pytest.raises(IpcError, match="another thread"):
            group.add(rx, 0)
        tx.send(b"done")

    together([receive, move])


def test_close_races_with_senders(backend: InprocessBackend) -> None:
    for _ in range(5):
        tx, rx = backend.channel()
        inner_tx, inner_rx = backend.channel()

        def send(tx: Any, inner: Any) -> Callable[[], None]:
            def work() -> None:
                with pytest.raises(BrokenChannelError):
                    while True:
                        tx.send(b"", [inner])
                inner.close()

            return work

        together([*(send(tx.clone(), inner_tx.clone()) for _ in range(WORKERS)), rx.close])
        inner_tx.close()
        with pytest.raises(Disconnected):
            inner_rx.recv(PATIENCE)
