"""The core where no thread can start, as in WebAssembly."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from ipc_backend_inprocess import waiting

import ipc_core
from ipc_core import Empty, NotSupportedError, Router
from ipc_core.channels import joined_sets, receiver_set, router_loop
from ipc_core.channels.joined_sets import JoinedSets


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise AssertionError("a thread was started")

    for module in (waiting, joined_sets, receiver_set, router_loop):
        monkeypatch.setattr(module, "THREADS", False)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setenv("IPC_CORE_BACKEND", "inprocess")


def test_waits_that_cannot_end_are_refused() -> None:
    tx, rx = ipc_core.channel()
    server, _ = ipc_core.IpcOneShotServer[Any].new()
    for wait in (rx.recv, rx.__iter__().__next__, tx.wait_closed, server.accept):
        with pytest.raises(NotSupportedError, match="no threads"):
            wait()
    with ipc_core.IpcReceiverSet() as receivers:
        with pytest.raises(NotSupportedError, match="no threads"):
            receivers.wait()
        id = receivers.add(rx)
        for wait in (receivers.select, receivers.wait):
            with pytest.raises(NotSupportedError, match="no threads"):
                wait()
        receivers.remove(id).close()
        assert receivers.wait() == []  # `remove` woke it
        with pytest.raises(NotSupportedError, match="no threads"):
            receivers.wait()
    server.close()
    tx.close()


def test_a_timed_wait_on_an_empty_set_lasts_as_long_as_asked() -> None:
    with ipc_core.IpcReceiverSet() as receivers:
        start = time.monotonic()
        assert receivers.wait(0.03) == []
        assert time.monotonic() - start >= 0.03


def test_a_router_says_how_to_do_without_a_thread() -> None:
    tx, rx = ipc_core.channel()
    with Router() as threaded, pytest.raises(NotSupportedError, match=r"threaded=False.*step"):
        threaded.add_route(rx, print)
    with pytest.raises(NotSupportedError):
        ipc_core.ROUTER.add_route(rx, print)
    tx.send("still yours")
    assert rx.recv() == "still yours"
    with Router(threaded=False) as stepped:
        with pytest.raises(NotSupportedError, match="no threads"):
            stepped.step(None)
        seen: list[object] = []
        stepped.add_route(rx, seen.append)
        tx.send("routed")
        assert stepped.step(None) == 1
        assert seen == ["routed"]
        assert stepped.step(0.01) == 0
        with pytest.raises(NotSupportedError, match="no threads"):
            stepped.step(None)
    tx.close()


def test_sets_of_several_backends_are_polled() -> None:
    class Other(type(ipc_core.plugins.choice.backend("inprocess"))):  # type: ignore[misc]
        name = "other"

    joined = JoinedSets()
    senders = []
    for id, backend in enumerate((ipc_core.plugins.choice.backend("inprocess"), Other())):
        sender, receiver = backend.channel()
        senders.append(sender)
        joined.add(backend, receiver, id)
    with pytest.raises(NotSupportedError, match="try_select"):
        joined.select(1)
    assert joined.select(0) == []
    for sender in senders:
        sender.send(b"message")
    assert [(id, bytes(data)) for id, data, _ in joined.select(1)] == [
        (0, b"message"),
        (1, b"message"),
    ]
    joined.close()
    with pytest.raises(Empty), ipc_core.IpcReceiverSet() as receivers:
        receivers.try_select()
