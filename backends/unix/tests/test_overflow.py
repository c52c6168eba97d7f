"""The log for messages that the socket has no room for."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator

import pytest

import ipc_core
from ipc_core.plugins import choice
from ipc_core.spi import Backend, IpcIOError, OsIpcReceiver, OsIpcSender

MANY = 2000  # more than a socket holds


@pytest.fixture
def unix() -> Backend:
    return choice.backend("unix")


@pytest.fixture
def ends(unix: Backend) -> Iterator[tuple[OsIpcSender, OsIpcReceiver]]:
    tx, rx = unix.channel()
    yield tx, rx
    tx.close()
    rx.close()


def number(data: object) -> int:
    return int(bytes(data))  # type: ignore[call-overload, no-any-return]


def fill(tx: OsIpcSender, count: int = MANY) -> None:
    for i in range(count):
        tx.send(b"%d" % i)


def in_log(tx: OsIpcSender) -> bool:
    return tx._writer.log is not None  # type: ignore[attr-defined, no-any-return]


def test_after_the_log_the_socket_is_used_again(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    for _ in range(3):
        fill(tx)
        assert in_log(tx)
        assert [number(rx.recv(1)[0]) for _ in range(MANY)] == list(range(MANY))
        tx.send(b"after")
        assert not in_log(tx)
        assert rx.recv(1)[0] == b"after"


def test_descriptors_in_the_log(unix: Backend, ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    """Endpoints that go through a log arrive with their own message, in order."""
    tx, rx = ends
    fill(tx)
    inner_tx, inner_rx = unix.channel()
    for i in range(900):
        tx.send(b"%d" % i, [inner_tx] * (i % 3))
    for i in range(MANY):
        assert number(rx.recv(1)[0]) == i
    for i in range(900):
        data, attachments = rx.recv(1)
        assert (number(data), len(attachments)) == (i, i % 3)
        for sender in attachments:
            sender.send(data)  # type: ignore[union-attr]
            sender.close()
            assert inner_rx.recv(1)[0] == data
    inner_tx.close()
    inner_rx.close()


@pytest.mark.parametrize("read_before", [0, 1, 700, MANY - 1])
def test_a_receiver_moves_with_a_log_half_read(
    unix: Backend, ends: tuple[OsIpcSender, OsIpcReceiver], read_before: int
) -> None:
    tx, rx = ends
    extra_tx, extra_rx = unix.channel()
    fill(tx)
    tx.send(b"%d" % MANY, [extra_tx])
    for i in range(read_before):
        assert number(rx.recv(1)[0]) == i
    carrier_tx, carrier_rx = unix.channel()
    carrier_tx.send(b"", [rx])
    (moved,) = carrier_rx.recv(1)[1]
    for i in range(read_before, MANY):
        assert number(moved.recv(1)[0]) == i  # type: ignore[union-attr]
    data, attachments = moved.recv(1)  # type: ignore[union-attr]
    assert number(data) == MANY
    attachments[0].send(b"alive")
    assert extra_rx.recv(1)[0] == b"alive"
    for handle in (extra_tx, extra_rx, carrier_tx, carrier_rx, moved, *attachments):
        handle.close()


def test_many_processes_overflow_at_once(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    children, each = 12, 1500
    pids = []
    for child in range(children):
        pid = os.fork()
        if pid == 0:
            try:
                for i in range(each):
                    tx.send(b"%d %d" % (child, i))
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    tx.close()
    seen = dict.fromkeys(range(children), 0)
    for _ in range(children * each):
        child, i = map(int, bytes(rx.recv(1)[0]).split())
        assert seen[child] == i
        seen[child] += 1
    with pytest.raises(ipc_core.Disconnected):
        rx.recv(1)


def test_a_torn_record_hurts_nobody(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    """A sender killed in the middle of a record loses that message only."""
    tx, rx = ends
    pid = os.fork()
    if pid == 0:
        try:
            fill(tx)
            memory = tx._writer.log._memory.fd  # type: ignore[attr-defined]
            os.write(memory, (10_000).to_bytes(8, "little") + bytes(8) + b"half a message")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [number(rx.recv(1)[0]) for _ in range(MANY)] == list(range(MANY))
    tx.send(b"next")
    assert rx.recv(1)[0] == b"next"


def test_a_full_disk_raises_and_sends_nothing(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    fill(tx)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(IpcIOError):
            tx.send(bytes(200_000))
        accepted = MANY
        with pytest.raises(IpcIOError):
            for _ in range(100_000):
                tx.send(b"%d" % accepted)
                accepted += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    tx.send(b"%d" % accepted)
    assert [number(rx.recv(1)[0]) for _ in range(accepted + 1)] == list(range(accepted + 1))
    with pytest.raises(ipc_core.Empty):
        rx.recv(0)


def test_a_receiver_that_goes_breaks_the_log(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    fill(tx)
    rx.close()
    with pytest.raises(ipc_core.BrokenChannelError):
        tx.send(b"x")
    assert tx.wait_closed(1)


def test_a_reader_that_keeps_up_meets_every_seal(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    """The sender goes in and out of logs many times while the receiver drains them."""
    tx, rx = ends
    count = 60_000
    thread = threading.Thread(target=fill, args=(tx, count))
    thread.start()
    for i in range(count):
        assert number(rx.recv(10)[0]) == i
    thread.join()


def test_a_set_sees_what_is_in_a_log(
    unix: Backend, ends: tuple[OsIpcSender, OsIpcReceiver]
) -> None:
    tx, rx = ends
    fill(tx)
    assert number(rx.recv(1)[0]) == 0
    while not rx._incoming.log:  # type: ignore[attr-defined]
        last = number(rx.recv(1)[0])
    group = unix.receiver_set()
    group.add(rx, 7)
    for expected in range(last + 1, MANY):
        ((id, data, _),) = group.select(1, limit=1)
        assert (id, number(data)) == (7, expected)
    tx.close()
    assert list(group.select(1)) == [(7, None, ())]
    group.close()
