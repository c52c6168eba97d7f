"""Peers that go on attacking while a receiver works."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hostile_peer import (
    SECONDS,
    Attacked,
    bounded,
    record,
)
from ipc_backend_unix import wire
from ipc_backend_unix.peer_memory import SMALLEST_MAPPED

from ipc_core.messages.message import copied
from ipc_core.spi import (
    DecodeError,
    Empty,
)

SENDER, REGION = 1, 3
PAGE = 4096


@contextmanager
def attacking(attack: Callable[[], object]) -> Iterator[None]:
    """Have another process do this again and again until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                try:
                    attack()
                except (BlockingIOError, BrokenPipeError):
                    time.sleep(0.0001)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "the attack failed"


def survives(action: Callable[[], object]) -> None:
    """Do it in a process of its own, which may be killed by a signal."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_logs_that_never_end(attacked: Attacked) -> None:
    """A timeout holds while a peer announces empty logs as fast as it can."""
    _, rx, peer = attacked
    memory = peer.memory()
    with attacking(lambda: peer.frame(wire.SWITCH, fds=[memory])), bounded():
        for _ in range(300):
            with pytest.raises((DecodeError, Empty)):
                rx.recv(0)
    attacked.check_usable()


def test_switches_ahead_that_never_end(attacked: Attacked) -> None:
    """A timeout holds while a peer announces logs that do not come, and honest ones do."""
    tx, rx, peer = attacked
    with attacking(lambda: peer.frame(wire.SWITCH_AHEAD)), bounded():
        for _ in range(300):
            with pytest.raises((DecodeError, Empty)):
                rx.recv(0)
    for number in range(2000):
        tx.send(b"%d" % number)
    received: list[bytes] = []
    while len(received) < 2000:
        try:
            received.append(bytes(rx.recv(5)[0]))
        except DecodeError:
            pass  # packets that were left
    assert received == [b"%d" % number for number in range(2000)]
    attacked.check_usable()


def test_a_payload_that_shrinks_while_it_is_read(attacked: Attacked) -> None:
    _, rx, peer = attacked
    size = 8 << 20
    fd = peer.memory()
    filled = bytes(size + 64)

    def attack() -> None:
        os.pwrite(fd, filled, 0)
        time.sleep(random.random() * 0.003)
        os.ftruncate(fd, size // 2)

    shrank = 0
    with attacking(attack), bounded():
        deadline = time.monotonic() + SECONDS * 0.9
        while not shrank and time.monotonic() < deadline:
            peer.in_memory(size, fd)
            try:
                assert len(copied(rx.recv(1)[0])) == size
            except DecodeError as error:
                shrank += "while it was read" in str(error)
    assert shrank
    attacked.check_usable()


def test_a_payload_that_shrinks_while_it_is_mapped(attacked: Attacked) -> None:
    """The mapping can be touched to its end, or is refused: no SIGBUS."""
    _, rx, peer = attacked
    size = SMALLEST_MAPPED

    def attack() -> None:
        with closing_fd(os.memfd_create("m", os.MFD_ALLOW_SEALING)) as fd:
            os.pwrite(fd, bytes(64 + size), 0)
            peer.in_memory(size, fd)
            time.sleep(random.choice((0, 0.001)))
            for length in range(size, 0, -16 * PAGE):
                try:
                    os.ftruncate(fd, length)
                except PermissionError:
                    break

    def receive() -> None:
        received: deque[memoryview] = deque()
        refused, deadline = 0, time.monotonic() + SECONDS
        while not (refused > 50 and len(received) > 5) and time.monotonic() < deadline:
            try:
                received.append(rx.recv(5)[0].map())  # type: ignore[union-attr]
            except DecodeError:
                refused += 1
                continue
            if len(received) > 50:
                assert not any(received.popleft()[::PAGE])
        assert len(received) > 5
        assert refused > 50
        assert not any(any(view[::PAGE]) for view in received)

    with attacking(attack):
        survives(receive)
    attacked.check_usable()


def test_a_payload_whose_pages_are_taken_away(attacked: Attacked) -> None:
    """Holes, which nothing forbids the sender to make, are zeros."""
    _, rx, peer = attacked
    fd = peer.memory(b"x" * (64 + SMALLEST_MAPPED))
    peer.in_memory(SMALLEST_MAPPED, fd)
    view = rx.recv(1)[0].map()  # type: ignore[union-attr]
    view[0] = ord("m")
    punched = subprocess.run(
        ["fallocate", "--punch-hole", "--offset=0", "--length=256KiB", f"/proc/self/fd/{fd}"],
        pass_fds=[fd],
        check=False,
    )
    if punched.returncode:
        pytest.skip("this fallocate does not know --punch-hole")

    def touch() -> None:
        assert view[:3] == b"mxx"
        assert not any(view[PAGE : 256 << 10 : PAGE])
        assert view[-1] == ord("x")

    survives(touch)
    attacked.check_usable()


def test_what_was_written_in_a_mapped_payload_stays(attacked: Attacked) -> None:
    """The receiver's writes survive those of the sender, and the sender does not see them."""
    _, rx, peer = attacked
    fd = peer.memory(bytes(64 + SMALLEST_MAPPED))
    peer.in_memory(SMALLEST_MAPPED, fd)
    view = rx.recv(1)[0].map()  # type: ignore[union-attr]
    view[:5] = b"mine."
    assert not any(os.pread(fd, SMALLEST_MAPPED, 64))
    os.pwrite(fd, b"sender's", 64)
    assert view[:8] == b"mine.\0\0\0"
    attacked.check_usable()


def test_a_region_that_shrinks(attacked: Attacked) -> None:
    """W33: memory can be read to its end, or is refused: no SIGBUS."""
    _, rx, peer = attacked

    def attack() -> None:
        with closing_fd(os.memfd_create("m", os.MFD_ALLOW_SEALING)) as fd:
            os.ftruncate(fd, 64 * PAGE)
            peer.attach(REGION, [fd], 64 * PAGE)
            time.sleep(random.choice((0, 0.001)))
            for size in range(63, -1, -1):
                try:
                    os.ftruncate(fd, size * PAGE)
                except PermissionError:
                    break

    def receive() -> None:
        """Touch each region when its owner has long tried everything."""
        received: deque[Any] = deque()
        refused, deadline = 0, time.monotonic() + SECONDS
        while not (refused > 50 and len(received) > 50) and time.monotonic() < deadline:
            try:
                received += rx.recv(5)[1]
            except DecodeError:
                refused += 1
                continue
            if len(received) > 60:
                assert not any(received.popleft().buffer[::PAGE])
        assert refused > 50
        assert len(received) > 50
        assert not any(any(region.buffer[::PAGE]) for region in received)

    with attacking(attack):
        survives(receive)
    attacked.check_usable()


@contextmanager
def closing_fd(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_payload_that_changes_while_it_is_decoded(attacked: Attacked) -> None:
    """Received bytes are a copy, also while the writer goes on."""
    _, rx, peer = attacked
    fd = peer.memory(bytes(100_064))
    turns = itertools.cycle([b"a" * 100_000, b"b" * 100_000])
    with attacking(lambda: os.pwrite(fd, next(turns), 64)), bounded():
        for _ in range(300):
            peer.in_memory(100_000, fd)
            data = copied(rx.recv(1)[0])
            before = bytes(bytearray(data))
            os.sched_yield()
            assert data == before
    attacked.check_usable()


def test_a_log_that_changes_while_it_is_read(attacked: Attacked) -> None:
    """Lengths grow and shrink under the reader's eyes: messages or errors, and an end."""
    _, rx, peer = attacked
    size = 1 << 20
    memory = peer.memory(bytes(size))
    lengths = [n.to_bytes(8, "little") for n in (0, 100, 8000, 300_000, size - 16, size, 2**63)]

    def attack() -> None:
        for _ in range(100):
            os.pwrite(memory, random.choice(lengths), 8 * random.randrange(200))

    seen = set()
    with attacking(attack), bounded():
        for _ in range(30):
            os.pwrite(memory, record(wire.PLAIN + bytes(300_000)) * 3, 0)
            peer.frame(wire.SWITCH, fds=[memory])
            while Empty not in seen:
                try:
                    rx.recv(0)
                    seen.add(bytes)
                except (DecodeError, Empty) as error:
                    seen.add(type(error))
            seen.remove(Empty)
    assert seen == {bytes, DecodeError}
    attacked.check_usable()
