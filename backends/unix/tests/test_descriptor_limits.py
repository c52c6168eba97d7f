"""At the limit of open files: a clear error, nothing leaked, and the next message is right."""

from __future__ import annotations

import errno
import gc
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ipc_core.plugins import choice
from ipc_core.spi import Backend, Disconnected, Empty, IpcIOError
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors

MANY = 2000  # more messages than a socket holds


@pytest.fixture
def unix() -> Backend:
    return choice.backend("unix")


@pytest.fixture
def bag(unix: Backend) -> Iterator[Bag]:
    before = descriptors()
    with Bag() as bag:
        yield bag
    assert descriptors() == before


@contextmanager
def only_left(count: int) -> Iterator[None]:
    """Let this process open so many more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + count + 1, hard)
    )
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    for fd in taken[len(taken) - count :]:
        os.close(fd)
    try:
        yield
    finally:
        for fd in taken[: len(taken) - count]:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def too_many_files() -> Iterator[None]:
    with pytest.raises(IpcIOError, match="open files") as caught:
        yield
    assert caught.value.errno == errno.EMFILE
    caught.value.__traceback__ = None  # its frames hold half made objects
    del caught
    gc.collect()


@pytest.mark.parametrize("left", [0, 1, 4, 9])
@pytest.mark.parametrize("how", ["socket", "memory", "log", "queue"])
def test_receiving_at_the_limit(unix: Backend, bag: Bag, how: str, left: int) -> None:
    """I84, W7: a message with more attachments than fit is lost, with an error that names the
    limit; what did arrive of it is closed, and the next messages are whole."""
    tx, rx = bag.os_channel(unix)
    sub_tx, sub_rx = bag.os_channel(unix)
    if how == "log":
        for _ in range(MANY):
            tx.send(b"before")
        tx.send(b"opens a log with a queue", [sub_tx])
    attached = [sub_tx] * (300 if how == "queue" else 10)
    tx.send(b"x" * (100_000 if how == "memory" else 1), attached)
    tx.send(b"next", [sub_tx])
    sub_tx.close()
    if how == "log":
        for _ in range(MANY):
            rx.recv(5)
        bag.os_recv(rx)[1][0].close()
    level = descriptors()
    with only_left(left), too_many_files():
        rx.recv(5)
    assert descriptors() == level
    data, (sender,) = bag.os_recv(rx)
    assert data == b"next"
    sender.send(b"alive")
    assert bag.os_recv(sub_rx)[0] == b"alive"
    sender.close()
    with pytest.raises(Disconnected):
        sub_rx.recv(5)


def overflow(tx: Any, queue: bool) -> None:
    """Send numbers until MANY, most of them through a log."""
    for number in range(MANY):
        tx.send(b"%d" % number)
    tx.send(b"%d" % MANY, [tx] if queue else [])


def read(rx: Any, bag: Bag, first: int = 0) -> None:
    """Receive the rest of an overflow."""
    for number in range(first, MANY + 1):
        assert int(bytes(bag.os_recv(rx, 5)[0])) == number
    with pytest.raises(Empty):
        rx.recv(0)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("queue", [False, True])
def test_meeting_a_log_at_the_limit(unix: Backend, bag: Bag, queue: bool, moved: bool) -> None:
    """I84, W12: messages that wait in a log are not lost to a full table of descriptors, also if
    the receiver is sent on meanwhile."""
    tx, rx = bag.os_channel(unix)
    overflow(tx, queue)
    received = 0
    with only_left(0), too_many_files():
        while received < MANY:
            assert int(bytes(rx.recv(5)[0])) == received
            received += 1
    if moved:
        carrier_tx, carrier_rx = bag.os_channel(unix)
        carrier_tx.send(b"", [rx])
        ((_, (rx,)),) = [bag.os_recv(carrier_rx)]
        with only_left(0), too_many_files():
            rx.recv(5)
    read(rx, bag, received)


@pytest.mark.parametrize("queue", [False, True])
def test_a_log_just_fits(unix: Backend, bag: Bag, queue: bool) -> None:
    """I84, W12: no more descriptors are needed than the log has."""
    tx, rx = bag.os_channel(unix)
    overflow(tx, queue)
    with only_left(1 + 2 * queue):  # the second log has a queue, and that one sender
        read(rx, bag)


def test_a_set_meets_a_log_at_the_limit(unix: Backend, bag: Bag) -> None:
    """I84, W12, W36: nor in a set."""
    group = bag.keep(unix.receiver_set())
    tx, rx = bag.os_channel(unix)
    group.add(rx, 0)
    overflow(tx, False)
    received: list[Any] = []
    with only_left(0):
        while not received or isinstance(received[-1], bytes):
            received += [data for _, data, _ in group.select(5)]
    assert received.pop().errno == errno.EMFILE
    while len(received) <= MANY:
        received += [data for _, data, _ in group.select(5)]
    assert received == [b"%d" % number for number in range(MANY + 1)]


def test_a_set_at_the_limit(unix: Backend, bag: Bag) -> None:
    """I84, W36: the error is one result of a select; other receivers' messages come with it."""
    group = bag.keep(unix.receiver_set())
    (tx1, rx1), (tx2, rx2), (sub_tx, _) = (bag.os_channel(unix) for _ in range(3))
    group.add(rx1, 1)
    group.add(rx2, 2)
    tx1.send(b"lost", [sub_tx] * 5)
    tx1.send(b"next")
    tx2.send(b"other")
    level = descriptors()
    with only_left(2):
        results = {id: data for id, data, _ in group.select(5)}
    assert descriptors() == level
    assert results[2] == b"other"
    assert isinstance(results[1], IpcIOError)
    assert results[1].errno == errno.EMFILE
    assert list(group.select(5)) == [(1, b"next", ())]


def test_accepting_at_the_limit(unix: Backend, bag: Bag) -> None:
    """I84: a client that could not be accepted is still there for the next try."""
    server = bag.keep(unix.one_shot_server())
    tx = bag.keep(unix.connect(server.name))
    tx.send(b"first")
    with only_left(0), too_many_files():
        server.accept(5)
    receiver, data, _ = server.accept(5)
    bag.keep(receiver)
    assert data == b"first"


@pytest.mark.parametrize("left", range(4))
@pytest.mark.parametrize(
    ("needed", "make"),
    [
        (2, lambda unix, bag, tx, rx: [bag.keep(end) for end in unix.channel()]),
        (2, lambda unix, bag, tx, rx: bag.keep(unix.receiver_set())),
        (2, lambda unix, bag, tx, rx: bag.keep(unix.one_shot_server())),
        (1, lambda unix, bag, tx, rx: bag.keep(unix.shared_memory(b"region"))),
        (2, lambda unix, bag, tx, rx: rx.fileno()),
        (1, lambda unix, bag, tx, rx: tx.wait_closed(0)),
        (0, lambda unix, bag, tx, rx: tx.clone().close()),
        (1, lambda unix, bag, tx, rx: tx.send(bytes(100_000))),
        (3, lambda unix, bag, tx, rx: tx.send(bytes(100_000), [tx] * 300)),
    ],
    ids=["channel", "set", "server", "region", "fileno", "wait", "clone", "large", "queue"],
)
def test_making_at_the_limit(
    unix: Backend,
    bag: Bag,
    needed: int,
    make: Callable[[Backend, Bag, Any, Any], object],
    left: int,
) -> None:
    """W23, W24: with too few descriptors left it says so and leaves nothing; then it works."""
    tx, rx = bag.os_channel(unix)
    unix.receiver_set().close()  # the file of a module that is not loaded cannot be opened either
    unix.one_shot_server().close()
    level = descriptors()
    with only_left(left):
        if left < needed:
            with too_many_files():
                make(unix, bag, tx, rx)
        else:
            make(unix, bag, tx, rx)
    if left < needed:
        assert descriptors() == level
        make(unix, bag, tx, rx)
    tx.send(b"last")
    while rx.recv(5)[0] != b"last":
        pass


def test_connecting_at_the_limit(unix: Backend, bag: Bag) -> None:
    """W24: a failed connect leaves the server waiting."""
    server = bag.keep(unix.one_shot_server())
    with only_left(0), too_many_files():
        unix.connect(server.name)
    bag.keep(unix.connect(server.name)).send(b"first")
    receiver, data, _ = server.accept(5)
    bag.keep(receiver)
    assert data == b"first"


def test_failed_connects_leave_nothing(unix: Backend, bag: Bag) -> None:
    """W24: a thousand connects to servers that are gone."""
    server = unix.one_shot_server()
    server.close()
    level = descriptors()
    for _ in range(1000):
        with pytest.raises(IpcIOError):
            unix.connect(server.name)
    assert descriptors() == level


def test_overflowing_at_the_limit(unix: Backend, bag: Bag) -> None:
    """W12: where a log cannot be opened the send fails, and nothing of it is sent."""
    tx, rx = bag.os_channel(unix)
    moved_tx, moved_rx = bag.os_channel(unix)
    accepted = 0
    for left in range(4):
        with only_left(left), pytest.raises(IpcIOError, match="open files"):
            for _ in range(MANY):
                tx.send(b"%d" % accepted, [moved_tx, moved_rx] if accepted == MANY else [])
                accepted += 1
            tx._writer.log = None  # type: ignore[attr-defined]
        if left == 0:
            first = accepted
        assert accepted == first or accepted >= MANY
        if accepted >= MANY:
            break
    for number in range(accepted):
        assert rx.recv(5)[0] == b"%d" % number
    tx.send(b"after", [moved_rx])
    data, (receiver,) = bag.os_recv(rx)
    assert data == b"after"
    moved_tx.send(b"queued")
    assert bag.os_recv(receiver)[0] == b"queued"
