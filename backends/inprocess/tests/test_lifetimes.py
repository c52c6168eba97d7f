"""References instead of descriptors: lifetimes of ends, queues and messages."""

from __future__ import annotations

import errno
import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
from ipc_backend_inprocess import listener, waiting
from ipc_backend_inprocess.backend import InprocessBackend

from ipc_core.spi import (
    BrokenChannelError,
    Capability,
    ClosedError,
    Disconnected,
    Empty,
    ForeignHandleError,
    IpcError,
    IpcIOError,
    NotSupportedError,
)

DEPTH = 20_000


@pytest.fixture
def backend() -> InprocessBackend:
    return InprocessBackend()


def test_a_sender_in_its_own_channel_is_collected(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    tx.send(b"", [tx])
    tx.close()
    _, (own,) = rx.recv(0)
    with pytest.raises(Empty):
        rx.recv(0)
    own.close()
    with pytest.raises(Disconnected):
        rx.recv(0)
    tx, rx = backend.channel()
    tx.send(b"", [tx])
    inside = weakref.ref(tx._queue.messages[0][1][0])
    del tx, rx
    gc.collect()
    assert inside() is None


def test_a_receiver_in_its_own_channel_is_collected(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    tx.send(b"", [rx])
    inside = weakref.ref(tx._queue.messages[0][1][0])
    with pytest.raises(ClosedError):
        rx.recv(0)
    tx.close()
    del tx, rx
    gc.collect()
    assert inside() is None


def test_channels_in_each_other_are_collected(backend: InprocessBackend) -> None:
    (tx, rx), (other_tx, other_rx) = backend.channel(), backend.channel()
    tx.send(b"", [other_rx])
    other_tx.send(b"", [rx, tx])
    inside = weakref.ref(tx._queue.messages[0][1][0])
    del tx, rx, other_tx, other_rx
    gc.collect()
    assert inside() is None


@pytest.mark.parametrize("closed", [True, False])
def test_receivers_nested_without_limit(backend: InprocessBackend, closed: bool) -> None:
    innermost, rx = backend.channel()
    for _ in range(DEPTH):
        tx, outer = backend.channel()
        tx.send(b"", [rx])
        rx = outer
    if closed:
        rx.close()
    del rx, outer
    assert innermost.wait_closed(0)


def test_dropping_a_handle_closes_it(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    del tx
    with pytest.raises(Disconnected):
        rx.recv(None)
    tx, rx = backend.channel()
    del rx
    assert tx.wait_closed(None)
    tx, rx = backend.channel()
    group = backend.receiver_set()
    group.add(rx, 0)
    del group
    assert tx.wait_closed(None)


def test_an_unread_message_keeps_its_endpoints_alive(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    inner_tx, inner_rx = backend.channel()
    tx.send(b"", [inner_tx])
    inner_tx.close()
    with pytest.raises(Empty):
        inner_rx.recv(0)
    rx.close()
    with pytest.raises(Disconnected):
        inner_rx.recv(0)


def test_a_refused_send_changes_nothing(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    _, inner = backend.channel()
    closed, _ = backend.channel()
    closed.close()
    foreign: Any = type("Foreign", (), {"kind": 1})()
    refused: list[tuple[list[Any], type[IpcError]]] = [
        ([inner, foreign], ForeignHandleError),
        ([inner, closed], ClosedError),
        ([inner, inner], IpcError),
    ]
    for attachments, error in refused:
        with pytest.raises(error):
            tx.send(b"", attachments)
        inner.check()
    rx.close()
    with pytest.raises(BrokenChannelError) as caught:
        tx.send(b"", [inner])
    assert caught.value.errno == errno.EPIPE
    inner.check()


def test_memory_is_the_same_bytes(backend: InprocessBackend) -> None:
    tx, rx = backend.channel()
    region = backend.shared_memory(b"old")
    tx.send(b"", [region])
    _, (arrived,) = rx.recv(0)
    view = region.buffer
    region.close()
    view[:] = b"new"
    assert (bytes(arrived.buffer), len(arrived)) == (b"new", 3)
    assert bytes(backend.shared_memory(0).buffer) == b""
    with pytest.raises(MemoryError):
        backend.shared_memory(1 << 80)
    with pytest.raises(ClosedError):
        region.buffer


def refusal(backend: InprocessBackend, name: str) -> int | None:
    try:
        backend.connect(name)
    except IpcIOError as error:
        return error.errno
    raise AssertionError("connected")


def test_server_names_end_with_their_server(backend: InprocessBackend) -> None:
    server = backend.one_shot_server()
    name = server.name
    client = backend.connect(name)
    assert refusal(backend, name) == errno.ECONNREFUSED
    with pytest.raises(Empty):
        server.accept(0)
    del server
    assert name not in listener._servers
    assert refusal(backend, name) == errno.ENOENT
    with pytest.raises(BrokenChannelError):
        client.send(b"")


def test_a_client_can_leave_without_a_message(backend: InprocessBackend) -> None:
    server = backend.one_shot_server()
    backend.connect(server.name).close()
    with pytest.raises(Disconnected):
        server.accept(None)
    server.close()
    server.close()
    with pytest.raises(ClosedError):
        server.accept(None)


def test_what_it_can_do(backend: InprocessBackend) -> None:
    assert backend.capabilities == (
        Capability.UNBOUNDED
        | Capability.PROMPT_DISCONNECT
        | Capability.SHARED_MEMORY
        | Capability.FREES_RINGS
    )
    with pytest.raises(NotSupportedError):
        backend.channel(1)
    assert backend.channel()[1].fileno() is None
    assert backend.receiver_set().fileno() is None


@pytest.mark.skipif(not waiting.THREADS, reason="no processes on this platform")
def test_a_program_may_end_with_everything_open() -> None:
    program = f"""
import sys, threading
sys.path[:] = {sys.path!r}
from ipc_backend_inprocess.backend import InprocessBackend
backend = InprocessBackend()
tx, rx = backend.channel()
tx.send(b"", [tx, backend.channel()[1], backend.shared_memory(1)])
group = backend.receiver_set()
inner_tx, inner_rx = backend.channel()
group.add(inner_rx, 0)
server = backend.one_shot_server()
client = backend.connect(server.name)
own = backend.channel()
own[0].send(b"", list(own))
threading.Thread(target=group.select, args=(None,), daemon=True).start()
sys.keep = [tx, rx, group]
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
