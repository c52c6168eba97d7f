"""WebAssembly simulated: no threads, and a taken lock blocks for ever."""

from __future__ import annotations

import threading
import time

import pytest
from ipc_backend_inprocess import waiting
from ipc_backend_inprocess.backend import InprocessBackend

from ipc_core.spi import BrokenChannelError, Disconnected, Empty, NotSupportedError


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("a lock was made")

    monkeypatch.setattr(waiting, "THREADS", False)
    monkeypatch.setattr(threading, "Lock", refuse)


@pytest.fixture
def backend() -> InprocessBackend:
    return InprocessBackend()


def test_waits_that_cannot_end_are_refused(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    group = backend.receiver_set()
    server = backend.one_shot_server()
    with pytest.raises(NotSupportedError, match="no threads"):
        rx.recv(None)
    with pytest.raises(NotSupportedError, match="no threads"):
        tx.wait_closed(None)
    with pytest.raises(NotSupportedError, match="no threads"):
        server.accept(None)
    group.add(rx, 0)
    with pytest.raises(NotSupportedError, match="no threads"):
        group.select(None)


def test_waits_that_have_an_answer_give_it(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    tx.send(b"one")
    tx.send(b"two")
    assert rx.recv(None) == (b"one", ())
    group = backend.receiver_set()
    group.add(rx, 7)
    assert group.select(None) == [(7, b"two", ())]
    group.wake()
    assert group.select(None) == []
    tx.close()
    assert group.select(None) == [(7, None, ())]

    tx, rx = backend.channel()
    rx.close()
    assert tx.wait_closed(None)
    with pytest.raises(BrokenChannelError):
        tx.send(b"")

    server = backend.one_shot_server()
    backend.connect(server.name).send(b"hello")
    rx, data, attachments = server.accept(None)
    assert (data, attachments) == (b"hello", ())
    with pytest.raises(Disconnected):
        rx.recv(None)


def test_timed_waits_last_as_long_as_asked(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    start = time.monotonic()
    with pytest.raises(Empty):
        rx.recv(0.03)
    assert not tx.wait_closed(0.03)
    group = backend.receiver_set()
    group.add(rx, 0)
    assert group.select(0.03) == []
    with pytest.raises(Empty):
        backend.one_shot_server().accept(0.03)
    assert time.monotonic() - start >= 0.12


def test_a_signal_handler_can_end_a_timed_wait(
    backend: InprocessBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    tx, rx = backend.channel()
    monkeypatch.setattr(time, "sleep", lambda _: tx.send(b"from the handler"))
    assert rx.recv(60) == (b"from the handler", ())
