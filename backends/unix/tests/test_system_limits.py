"""Refusals of the system: a clear error, nothing half-sent, and the channel goes on."""

from __future__ import annotations

import errno
import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ipc_backend_unix import descriptors as unix_descriptors
from ipc_backend_unix import overflow
from ipc_backend_unix.payload_pool import LARGEST_KEPT
from ipc_backend_unix.wire import MOST_ATTACHMENTS

from ipc_core.messages.message import copied
from ipc_core.plugins import choice
from ipc_core.spi import Backend, Disconnected, Empty, IpcError, IpcIOError
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors

MANY = 2000  # more messages than a socket holds
LARGE = 200_000
ORDINARY = 54321


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
def limited(limit: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(limit, (soft, hard))


@contextmanager
def refused(*codes: int, match: str = ".") -> Iterator[None]:
    with pytest.raises(IpcIOError, match=match) as caught:
        yield
    assert caught.value.errno in codes
    caught.value.__traceback__ = None  # its frames hold half made objects
    del caught
    gc.collect()


class Ready:
    """A channel in some state, with endpoints to send."""

    def __init__(self, unix: Backend, bag: Bag, state: str) -> None:
        self.tx: Any
        self.tx, self.rx = bag.os_channel(unix)
        self.sub_tx, self.sub_rx = bag.os_channel(unix)
        self.moved_tx, self.moved_rx = bag.os_channel(unix)
        self._bag = bag
        self._waiting = 0
        if state == "pool":
            self.tx.send(bytes(LARGE))
            self.rx.recv(5)
        elif state == "full":
            try:
                while True:
                    self.tx._writer.sock.send(unix_frame(b"w"), unix_descriptors._DONTWAIT)
                    self._waiting += 1
            except BlockingIOError:
                pass
        elif state == "log":
            self._waiting = MANY
            for _ in range(MANY):
                self.tx.send(b"w")
            self.tx.send(b"w", [self.sub_tx])

    def send(self, size: int) -> None:
        self.tx.send(bytes(size), [self.sub_tx, self.moved_rx])

    def check(self) -> None:
        """Check that nothing of the failed send arrives, and its receiver and the channel work."""
        self.moved_tx.send(b"here")
        assert self.moved_rx.recv(5)[0] == b"here"
        self.tx.send(b"next", [self.moved_rx])
        data: Any = b"w"
        while data == b"w":
            data, attachments = self._bag.os_recv(self.rx)
        assert data == b"next"
        self.moved_tx.send(b"moved")
        assert attachments[0].recv(5)[0] == b"moved"
        with pytest.raises(Empty):
            self.rx.recv(0)


def unix_frame(payload: bytes) -> bytes:
    from ipc_backend_unix.wire import PLAIN

    return PLAIN + payload


STATES = pytest.mark.parametrize("state", ["empty", "pool", "full", "log"])


@STATES
@pytest.mark.parametrize("limit", [0, 100, 50_000])
def test_file_size_limit(unix: Backend, bag: Bag, state: str, limit: int) -> None:
    """RLIMIT_FSIZE in fresh memory, in memory used again, in a new log and in an open one."""
    ready = Ready(unix, bag, state)
    for _ in range(3):
        with limited(resource.RLIMIT_FSIZE, limit), refused(errno.EFBIG, match="RLIMIT_FSIZE"):
            ready.send(LARGE)
    ready.check()


def test_file_size_limit_small_messages(unix: Backend, bag: Bag) -> None:
    """The record of a small message in a log."""
    ready = Ready(unix, bag, "log")
    size = os.fstat(ready.tx._writer.log._memory.fd).st_size
    for more in (0, 10):
        with (
            limited(resource.RLIMIT_FSIZE, size + more),
            refused(errno.EFBIG, match="RLIMIT_FSIZE"),
        ):
            ready.tx.send(b"small")
    ready.check()


@pytest.mark.parametrize("data", [LARGE, bytes(LARGE)], ids=["size", "bytes"])
def test_file_size_limit_regions(unix: Backend, bag: Bag, data: Any) -> None:
    """Shared memory."""
    with limited(resource.RLIMIT_FSIZE, 1000), refused(errno.EFBIG, match="RLIMIT_FSIZE"):
        unix.shared_memory(data)
    assert len(bag.keep(unix.shared_memory(data)).buffer) == LARGE


def test_file_size_limit_too_large_to_keep(unix: Backend, bag: Bag) -> None:
    """Memory that is not used again."""
    ready = Ready(unix, bag, "empty")
    with limited(resource.RLIMIT_FSIZE, 1000), refused(errno.EFBIG):
        ready.send(LARGEST_KEPT + 1)
    ready.check()


@STATES
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOMEM])
@pytest.mark.parametrize("taken", [0, 1, 20, 1000])
def test_no_room_injected(
    unix: Backend,
    bag: Bag,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    code: int,
    taken: int,
) -> None:
    """The kernel takes a part and then has no room (injected in pwritev and writev)."""
    ready = Ready(unix, bag, state)

    def partly(write: Callable[..., int]) -> Callable[..., int]:
        left = taken

        def wrapper(fd: int, buffers: list[Any], *offset: int) -> int:
            nonlocal left
            if not left:
                raise OSError(code, os.strerror(code))
            left, now = 0, left
            return write(fd, [b"".join(buffers)[:now]], *offset)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", partly(os.pwritev))
        patch.setattr(os, "writev", partly(os.writev))
        with refused(code):
            ready.send(LARGE)
    ready.check()


@STATES
def test_short_writes_injected(
    unix: Backend, bag: Bag, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """The kernel takes a few bytes at a time (injected in pwritev and writev)."""
    ready = Ready(unix, bag, state)
    pwritev, writev = os.pwritev, os.writev
    monkeypatch.setattr(
        os, "pwritev", lambda fd, parts, at: pwritev(fd, [b"".join(parts)[:7001]], at)
    )
    monkeypatch.setattr(os, "writev", lambda fd, parts: writev(fd, [b"".join(parts)[:7001]]))
    payload = os.urandom(LARGE)
    ready.tx.send(payload)
    monkeypatch.undo()
    while (data := bag.os_recv(ready.rx)[0]) == b"w":
        pass
    assert data == payload
    ready.check()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOMEM])
def test_refused_members_injected(
    unix: Backend, bag: Bag, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """W37: the kernel watches no more receivers (injected in epoll_ctl): the set and the receiver
    that was to be added stay as they were."""

    class Full:
        def __init__(self, epoll: Any) -> None:
            self.poll, self.close, self.unregister = epoll.poll, epoll.close, epoll.unregister

        def register(self, fd: int, events: int) -> None:
            raise OSError(code, os.strerror(code))

    (tx, rx), (member_tx, member_rx) = (bag.os_channel(unix) for _ in range(2))
    group: Any = bag.keep(unix.receiver_set())
    group.add(member_rx, 0)
    level = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(group, "_epoll", Full(group._epoll))
        for _ in range(3):
            with refused(code):
                group.add(rx, 1)
    assert descriptors() == level
    for sender in (tx, member_tx):
        sender.send(b"still here")
    assert rx.recv(0)[0] == b"still here"
    assert group.select(5) == [(0, b"still here", ())]
    group.add(rx, 1)
    tx.send(b"member")
    assert group.select(5) == [(1, b"member", ())]


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
@pytest.mark.parametrize("state", ["empty", "pool", "full"])
@pytest.mark.parametrize("size", [100, 5000, LARGE])
def test_refused_packets_injected(
    unix: Backend, bag: Bag, monkeypatch: pytest.MonkeyPatch, code: int, state: str, size: int
) -> None:
    """I89: every packet with attachments is refused (injected in sendmsg): an error, no loop."""
    ready = Ready(unix, bag, state)

    def refuse(*args: Any) -> int:
        raise OSError(code, os.strerror(code))

    level = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(unix_descriptors.Socket, "sendmsg", refuse, raising=False)
        with refused(code):
            ready.send(size)
    assert descriptors() <= level
    ready.check()


def test_refused_switches_injected(
    unix: Backend, bag: Bag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many descriptors are in flight for the one that leads into a log (injected): however
    often that is tried, nothing of it stays in the channel."""
    ready = Ready(unix, bag, "full")
    send_packet = overflow.send_packet

    def refuse(sock: Any, buffers: Any, fds: Any = ()) -> None:
        if fds:
            raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))
        send_packet(sock, buffers, fds)

    with monkeypatch.context() as patch:
        patch.setattr(overflow, "send_packet", refuse)
        for _ in range(1500):
            with pytest.raises(IpcIOError) as caught:
                ready.tx.send(b"never")
            assert caught.value.errno == errno.ETOOMANYREFS
    ready.check()
    del caught


def test_most_attachments(unix: Backend, bag: Bag) -> None:
    """More attachments than a receiver takes are refused where they are sent."""
    ready = Ready(unix, bag, "empty")
    with pytest.raises(IpcError, match=f"at most {MOST_ATTACHMENTS} attachments"):
        ready.tx.send(b"never", [ready.sub_tx] * (MOST_ATTACHMENTS + 1))
    ready.check()


def in_an_ordinary_process(work: Callable[[], None]) -> None:
    """Run this as a user without privileges who may open 1024 files."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    pid = os.fork()
    if not pid:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
            os.setgroups([])
            os.setresgid(ORDINARY, ORDINARY, ORDINARY)
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_ordinary_user_queues_without_bound(unix: Backend) -> None:
    """I18, I19, W12: 300,000 small and 1,000 large messages that nobody reads."""

    def work() -> None:
        tx, rx = unix.channel()
        for number in range(300_000):
            tx.send(b"%d" % number)
        for _ in range(1000):
            tx.send(bytes(100_000))
        for number in range(300_000):
            assert rx.recv(5)[0] == b"%d" % number
        for _ in range(1000):
            assert len(rx.recv(5)[0]) == 100_000

    in_an_ordinary_process(work)


def test_ordinary_user_puts_too_many_descriptors_in_flight(unix: Backend) -> None:
    """Up to the limit senders in unread messages are accepted; past it the error names the
    limit, the receiver in the failed message stays usable, and so does the channel."""

    def work() -> None:
        tx, rx = unix.channel()
        sub_tx, sub_rx = unix.channel()
        accepted = 0
        moved_tx, moved_rx = unix.channel()
        for _ in range(3):
            with refused(errno.ETOOMANYREFS, match="RLIMIT_NOFILE"):
                while accepted < 5000:
                    tx.send(b"%d" % accepted, [sub_tx])
                    accepted += 1
            assert accepted >= 900
            with refused(errno.ETOOMANYREFS, match="RLIMIT_NOFILE"):
                tx.send(b"never", [moved_rx])
            moved_tx.send(b"here")
            assert moved_rx.recv(5)[0] == b"here"
            tx.send(b"without")
            for number in range(accepted):
                data, (sender,) = rx.recv(5)
                assert data == b"%d" % number
                sender.close()
            assert rx.recv(5)[0] == b"without"
            accepted = 0
        sub_tx.close()
        try:
            sub_rx.recv(5)
        except Disconnected:
            return
        raise AssertionError("a sender was left over")

    in_an_ordinary_process(work)


def test_fifty_processes_overflow_at_once(unix: Backend, bag: Bag) -> None:
    """W12: complete, and in order for each sender, whatever the others do."""
    tx, rx = bag.os_channel(unix)
    sub_tx, sub_rx = bag.os_channel(unix)
    senders, each = 50, 400
    start, go = os.pipe()
    pids = []
    for sender in range(senders):
        pid = os.fork()
        if not pid:
            try:
                os.close(go)
                os.read(start, 1)
                for number in range(each):
                    padding = bytes(number * 997 % 5000 if number % 100 else 70_000)
                    attached = [sub_tx] if number % 200 == 7 else []
                    tx.send([b"%d %d " % (sender, number), padding], attached)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    os.close(start)
    os.close(go)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    tx.close()
    sub_tx.close()
    seen = [0] * senders
    for _ in range(senders * each):
        data, attachments = rx.recv(5)
        sender, number = map(int, copied(data).split(b" ", 2)[:2])
        assert seen[sender] == number
        seen[sender] += 1
        assert len(attachments) == (number % 200 == 7)
        for attachment in attachments:
            attachment.close()
    for end in (rx, sub_rx):
        with pytest.raises(Disconnected):
            end.recv(5)
