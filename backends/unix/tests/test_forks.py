"""Forks in the middle of other threads' work."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import ipc_core
from ipc_core.plugins import choice
from ipc_core.spi import BrokenChannelError, ClosedError, Disconnected, mend_after_fork
from ipc_core.testing.states import wait_until

FORKS = 60
EACH = 40
SECONDS = 20


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the threads are the point
        return os.fork()


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a forked child; after the block, wait for it and for its success."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            threading.Timer(SECONDS, os._exit, (2,)).start()
            work()
            status = 0
        finally:
            os._exit(status)
    yield
    assert os.waitpid(pid, 0)[1] == 0


def test_locks_that_other_threads_hold_are_free_in_the_child() -> None:
    backend = choice.backend("unix")
    tx, rx = backend.channel()
    members = backend.receiver_set()
    server = backend.one_shot_server()
    held = [tx._writer.lock, rx._lock, members._lock, server._lock]  # type: ignore[attr-defined]
    holding, leave = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in held:
            lock.acquire()
        holding.set()
        leave.wait(SECONDS)
        for lock in held:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(SECONDS)

    def work() -> None:
        tx.send(b"from the child")
        assert rx.recv(1)[0] == b"from the child"
        assert list(members.select(0)) == []
        with pytest.raises(ClosedError):
            server.accept(0)
        for end in (rx, tx, members, server):
            end.close()

    with forked(work):
        pass
    leave.set()
    thread.join()
    tx.send(b"still whole")
    assert rx.recv(1)[0] == b"still whole"
    for end in (tx, rx, members, server):
        end.close()


def test_forks_at_any_moment_of_sends_and_receives() -> None:
    """Children send over inherited ends, and close them, while the parent's threads go on."""
    backend = choice.backend("unix")
    tx, rx = backend.channel()
    large_tx, large_rx = backend.channel()
    stop = threading.Event()
    sent = [0]

    def flood() -> None:
        while not stop.is_set():
            tx.send(b"parent %d" % sent[0], [large_tx] if sent[0] % 50 == 0 else ())
            sent[0] += 1
            if sent[0] % 20 == 0:
                large_tx.send(bytes(100_000))

    def drain() -> None:
        with pytest.raises(Disconnected):
            while True:
                large_rx.recv(SECONDS)

    seen: dict[bytes, int] = {}

    def receive() -> None:
        with pytest.raises(Disconnected):
            while True:
                data, attachments = rx.recv(SECONDS)
                for attachment in attachments:
                    attachment.close()
                who, number = bytes(data).rsplit(b" ", 1)
                assert seen.get(who, 0) == int(number), who
                seen[who] = int(number) + 1

    threads = [threading.Thread(target=target) for target in (flood, drain, receive)]
    for thread in threads:
        thread.start()
    for fork in range(FORKS):

        def work(fork: int = fork) -> None:
            for number in range(EACH):
                tx.send(b"child-%d %d" % (fork, number))
            large_tx.send(bytes(100_000))
            for end in (rx, large_rx, tx, large_tx):
                end.close()

        with forked(work):
            pass
    stop.set()
    threads[0].join()
    tx.close()
    large_tx.close()
    for thread in threads[1:]:
        thread.join(SECONDS)
        assert not thread.is_alive()
    rx.close()
    large_rx.close()
    assert seen == {b"parent": sent[0]} | {b"child-%d" % fork: EACH for fork in range(FORKS)}


def test_a_child_that_closes_its_receiver_breaks_nothing() -> None:
    """Not even while a thread of the parent is in the middle of a receive."""
    tx, rx = choice.backend("unix").channel()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(bytes(rx.recv(SECONDS)[0])))
    thread.start()
    with forked(rx.close):
        pass
    tx.send(b"arrives")
    thread.join()
    assert got == [b"arrives"]
    rx.close()
    with pytest.raises(BrokenChannelError):
        tx.send(b"")
    tx.close()


def make_and_close_sets() -> None:
    members = ipc_core.IpcReceiverSet()
    senders = []
    for _ in range(10):
        tx, rx = ipc_core.channel(backend="unix")
        members.add(rx)
        senders.append(tx)
    members.close()
    for tx in senders:
        tx.close()


def make_and_close_servers() -> None:
    ipc_core.IpcOneShotServer(backend="unix").close()


@pytest.mark.parametrize("churn", [make_and_close_sets, make_and_close_servers])
def test_forks_while_a_thread_makes_and_closes(churn: Callable[[], None]) -> None:
    """The child gets out of its fork with any locks held just then."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            churn()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for _ in range(100):
            pid = fork()
            if pid == 0:
                os._exit(0)
            try:
                wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0], "the child ends")  # noqa: B023
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
    finally:
        stop.set()
        thread.join()


class Mended:
    """An object that knows whether it was mended, and may fail to be."""

    def __init__(self, fails: bool) -> None:
        self.mended = False
        self._fails = fails
        mend_after_fork(self)

    def after_fork(self) -> None:
        self.mended = True
        if self._fails:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_what_cannot_be_mended_leaves_the_others_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a child, such as one without a descriptor to spare."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    copies = [Mended(fails=number % 3 == 0) for number in range(20)]

    def work() -> None:
        assert all(copy.mended for copy in copies)

    with forked(work):
        pass
    assert not any(copy.mended for copy in copies)
