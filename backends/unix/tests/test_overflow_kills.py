"""A sender killed at every step of an overflow harms nobody else."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from ipc_backend_unix.wire import PLAIN
from ipc_backend_unix.writer import LARGEST_PACKET

import ipc_core
from ipc_core.messages.message import copied
from ipc_core.plugins import choice
from ipc_core.testing.level import descriptors

STEPS = ("overflow.py", "writer.py", "descriptor_queue.py")
MINE = 20
FILLER = b"filler" * 100


class Victim:
    """A fork that sends, reports accepted messages through a pipe, and kills itself on the way."""

    def __init__(self, work: Callable[[Victim], None], last_step: int) -> None:
        self._last_step = last_step
        self._said, self._tell = os.pipe()
        self._go, self._start = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                work(self)
            finally:
                os._exit(1)
        os.close(self._tell)
        os.close(self._go)

    def says(self) -> int:
        """Return how far it has come; 0 if it died instead."""
        word = os.read(self._said, 1)
        return word[0] if word else 0

    def go_on(self) -> None:
        os.write(self._start, b"x")

    def finish(self) -> tuple[int, bool]:
        """Return how many messages were accepted, and whether it was killed."""
        os.close(self._start)
        with os.fdopen(self._said, "rb") as said:
            words = said.read()
        status = os.waitpid(self.pid, 0)[1]
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, "the victim itself failed"
        return max(words, default=0), status != 0

    def accepted(self, count: int) -> None:
        os.write(self._tell, bytes((count,)))

    def wait(self) -> None:
        os.read(self._go, 1)

    def count_steps(self) -> None:
        """From here on, die before line number `step` of the backend's sending side."""
        left = self._last_step

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(STEPS):
                return None
            if event == "line":
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return trace

        sys.settrace(trace)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Scene:
    """A channel whose socket is full, and one whose senders travel in its messages."""

    def __init__(self) -> None:
        unix = choice.backend("unix")
        self.tx: Any
        self.rx: Any
        self.tx, self.rx = unix.channel()
        self.sub_tx, self.sub_rx = unix.channel()
        self.fillers = 0
        try:
            while True:
                self.tx._writer.sock.send(PLAIN + FILLER, socket.MSG_DONTWAIT)
                self.fillers += 1
        except BlockingIOError:
            pass

    def send(self, victim: Victim, first: int, last: int) -> None:
        """Send as the victim: small and large messages, some with a sender."""
        for number in range(first, last):
            padding = bytes(LARGEST_PACKET * 2) if number % 5 == 3 else b""
            attached = [self.sub_tx] if number % 3 == 1 else []
            self.tx.send([b"v%03d" % number, padding], attached)
            victim.accepted(number + 1)

    def read(self) -> bytes:
        data, attachments = self.rx.recv(5)
        for attachment in attachments:
            attachment.send(b"alive")
            assert self.sub_rx.recv(5)[0] == b"alive"
            attachment.close()
        return copied(data)

    def finish(self, accepted: int, seen: int = 0) -> None:
        """Check that others go on, accepted messages arrive in order, and the channel ends."""
        for number in range(MINE):
            self.tx.send(b"m%03d" % number)
        self.tx.close()
        self.sub_tx.close()
        mine = 0
        try:
            while True:
                data = self.read()
                if data[:1] == b"v":
                    assert int(data[1:4]) == seen
                    seen += 1
                elif data[:1] == b"m":
                    assert int(data[1:4]) == mine
                    mine += 1
                else:
                    assert data == FILLER
                    self.fillers -= 1
        except ipc_core.Disconnected:
            pass
        assert (mine, self.fillers) == (MINE, 0)
        assert accepted <= seen <= accepted + 1
        with pytest.raises(ipc_core.Disconnected):
            self.sub_rx.recv(5)

    def close(self) -> None:
        for end in (self.tx, self.rx, self.sub_tx, self.sub_rx):
            end.close()


@pytest.fixture
def level() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


def at_every_step(run: Callable[[int], bool], at_least: int) -> None:
    """Run with a kill at step 0, 1, 2, ... until the victim survives."""
    step = 0
    while run(step):
        step += 1
    assert step >= at_least


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", [0, 1, 3], ids=["small", "attachment", "large"])
def test_killed_while_it_overflows(level: None, first: int) -> None:
    """From the send that finds the socket full to some that append."""

    def run(step: int) -> bool:
        scene = Scene()

        def work(victim: Victim) -> None:
            victim.accepted(first)
            victim.count_steps()
            scene.send(victim, first, first + 4)
            os._exit(0)

        accepted, killed = Victim(work, step).finish()
        scene.finish(accepted, seen=first)
        scene.close()
        return killed

    at_every_step(run, at_least=80)


@pytest.mark.timeout(120)
def test_killed_after_the_receiver_sealed(level: None) -> None:
    """The log has been drained: the victim meets the seal and goes back to the socket."""

    def run(step: int) -> bool:
        scene = Scene()

        def work(victim: Victim) -> None:
            scene.send(victim, 0, 3)
            victim.wait()
            victim.count_steps()
            scene.send(victim, 3, 7)
            os._exit(0)

        victim = Victim(work, step)
        while victim.says() != 3:
            pass
        for _ in range(scene.fillers):
            assert scene.read() == FILLER
        scene.fillers = 0
        for number in range(3):
            assert scene.read()[:4] == b"v%03d" % number
        victim.go_on()
        accepted, killed = victim.finish()
        scene.finish(max(accepted, 3), seen=3)
        scene.close()
        return killed

    at_every_step(run, at_least=50)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
def test_killed_while_it_takes_a_record_back(level: None, sealed: bool) -> None:
    """The file system is full in the middle of a record (injected): it is cut off again."""

    def run(step: int) -> bool:
        scene = Scene()

        def half_then_full(fd: int, buffers: list[bytes]) -> int:
            if half_then_full.done:  # type: ignore[attr-defined]
                raise OSError(28, "no space")
            half_then_full.done = True  # type: ignore[attr-defined]
            record = b"".join(buffers)
            return os.write(fd, record[: len(record) // 2])

        def work(victim: Victim) -> None:
            scene.send(victim, 0, 3)
            victim.wait()
            writev = os.writev
            half_then_full.done = False  # type: ignore[attr-defined]
            os.writev = half_then_full  # type: ignore[assignment]
            victim.count_steps()
            try:
                scene.send(victim, 3, 4)
            except ipc_core.IpcIOError:
                os.writev = writev
                scene.send(victim, 3, 6)
            os._exit(0)

        victim = Victim(work, step)
        while victim.says() != 3:
            pass
        seen = 0
        if sealed:
            for _ in range(scene.fillers):
                scene.read()
            scene.fillers = 0
            scene.read()
            seen = 1
        victim.go_on()
        accepted, killed = victim.finish()
        scene.finish(max(accepted, 3), seen)
        scene.close()
        return killed

    at_every_step(run, at_least=30)


@pytest.mark.parametrize("part", [1, 8, 15, 16, 17, 24, 40])
@pytest.mark.parametrize("appended", [False, True], ids=["first", "appended"])
def test_killed_in_the_middle_of_a_record(level: None, part: int, appended: bool) -> None:
    """The kernel had taken a part of the record, of the first or of a later one."""
    scene = Scene()

    def half(fd: int, buffers: list[bytes]) -> int:
        os.write(fd, b"".join(buffers)[:part])
        die()
        return 0

    def work(victim: Victim) -> None:
        accepted = 3 if appended else 0
        scene.send(victim, 0, accepted)
        os.writev = half  # type: ignore[assignment]
        scene.send(victim, accepted, accepted + 1)

    accepted, killed = Victim(work, 0).finish()
    assert killed
    assert accepted == (3 if appended else 0)
    scene.finish(accepted)
    scene.close()
