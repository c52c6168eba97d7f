"""One operation interrupted by another, at every step of the first.

A signal handler, a destructor and, as nothing is locked, another thread all amount to this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ipc_backend_inprocess
import pytest
from ipc_backend_inprocess.backend import InprocessBackend

from ipc_core.spi import BrokenChannelError, ClosedError, Disconnected, Empty, IpcError

PACKAGE = str(Path(ipc_backend_inprocess.__file__).parent)


class Interrupted:
    """Runs `first`, and `second` before bytecode number `at` that it runs in the package."""

    def __init__(self, first: Callable[[], Any], second: Callable[[], Any], at: int) -> None:
        self._left = at
        self._second = second
        self.second: Any = None
        previous = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 wants to know before settrace
        sys.settrace(self._trace)
        try:
            self.first = outcome(first)
        finally:
            sys.settrace(previous)
        self.happened = self._left < 0

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE) or self._left < 0:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._left -= 1
            if self._left < 0:
                sys.settrace(None)
                self.second = outcome(self._second)
        return self._trace


def outcome(operation: Callable[[], Any]) -> Any:
    try:
        return operation()
    except (IpcError, KeyError) as error:
        return type(error)


def every_step(check: Callable[[int], bool]) -> None:
    """Call `check` for each bytecode until it says that the operation has ended."""
    at = 0
    while check(at):
        at += 1
    assert at > 3


@pytest.fixture
def backend() -> InprocessBackend:
    return InprocessBackend()


def drained(rx: Any) -> list[Any]:
    """Receive until Disconnected or Empty; the last item tells which."""
    messages: list[Any] = []
    while True:
        try:
            messages.append(rx.recv(0)[0])
        except (Disconnected, Empty) as error:
            return [*messages, type(error)]


def test_send_during_send(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        run = Interrupted(lambda: tx.send(b"a"), lambda: tx.send(b"b"), at)
        tx.close()
        messages = drained(rx)
        assert sorted(messages[:-1]) == ([b"a", b"b"] if run.happened else [b"a"])
        assert messages[-1] is Disconnected
        return run.happened

    every_step(check)


def test_what_send_accepted_arrives_before_the_disconnect(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        seen: list[Any] = []

        def close_and_drain() -> None:
            tx.close()
            seen.extend(drained(rx))

        run = Interrupted(lambda: tx.send(b"a"), close_and_drain, at)
        tx.close()
        accepted = run.first is None
        assert accepted or run.first is ClosedError
        if Disconnected in seen:
            seen.remove(Disconnected)
            assert drained(rx) == [Disconnected]
        else:
            seen = [item for item in seen if item is not Empty] + drained(rx)[:-1]
        assert seen == ([b"a"] if accepted else [])
        assert drained(rx) == [Disconnected]
        return run.happened

    every_step(check)


def test_receiver_leaves_during_send(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        inner_tx, inner_rx = backend.channel()
        run = Interrupted(lambda: tx.send(b"a", [inner_rx]), rx.close, at)
        rx.close()
        if run.first is BrokenChannelError:
            inner_tx.send(b"still here")
            assert inner_rx.recv(0)[0] == b"still here"
        else:
            assert run.first is None
            assert inner_tx.wait_closed(0)
        assert tx.wait_closed(0)
        return run.happened

    every_step(check)


def test_sender_is_closed_during_a_send_with_attachments(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        inner_tx, inner_rx = backend.channel()
        inner_tx.send(b"content")
        run = Interrupted(lambda: tx.send(b"a", [inner_tx, inner_rx]), tx.close, at)
        tx.close()
        if run.first is None:
            _, (_, arrived) = rx.recv(0)
            assert arrived.recv(0)[0] == b"content"
        else:
            assert run.first is ClosedError
            assert inner_rx.recv(0)[0] == b"content"
        inner_tx.close()
        assert drained(rx) == [Disconnected]
        return run.happened

    every_step(check)


def test_a_receiver_is_sent_or_closed_during_its_sending(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        inner_tx, inner_rx = backend.channel()
        run = Interrupted(lambda: tx.send(b"a", [inner_rx]), lambda: tx.send(b"b", [inner_rx]), at)
        assert [run.first, run.second].count(None) == 1 if run.happened else run.first is None
        _, (arrived,) = rx.recv(0)
        inner_tx.send(b"x")
        assert arrived.recv(0)[0] == b"x"
        tx.close()
        assert drained(rx) == [Disconnected]
        return run.happened

    every_step(check)


def test_a_message_arrives_while_the_set_takes_the_last(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        group = backend.receiver_set()
        group.add(rx, 0)
        tx.send(b"a")
        run = Interrupted(lambda: group.select(0), lambda: tx.send(b"b"), at)
        results = [*run.first, *group.select(0), *group.select(0)]
        assert [data for _, data, _ in results] == ([b"a", b"b"] if run.happened else [b"a"])
        tx.close()
        assert group.select(0) == [(0, None, ())]
        return run.happened

    every_step(check)


def test_the_last_sender_leaves_while_the_set_takes_a_message(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        group = backend.receiver_set()
        group.add(rx, 0)
        tx.send(b"a")
        run = Interrupted(lambda: group.select(0), tx.close, at)
        tx.close()
        results = [*run.first, *group.select(0), *group.select(0)]
        assert [data for _, data, _ in results] == [b"a", None]
        return run.happened

    every_step(check)


@pytest.mark.parametrize("change", ["send", "close"])
def test_something_happens_while_a_receiver_is_added(
    backend: InprocessBackend, change: str
) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        group = backend.receiver_set()
        act = tx.close if change == "close" else lambda: tx.send(b"a")
        run = Interrupted(lambda: group.add(rx, 0), act, at)
        if run.happened:
            assert [data for _, data, _ in group.select(0)] == [None if change == "close" else b"a"]
        return run.happened

    every_step(check)


def test_a_receiver_removed_during_select_keeps_working(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        group = backend.receiver_set()
        group.add(rx, 0)
        tx.send(b"a")
        tx.send(b"b")
        run = Interrupted(lambda: group.select(0, limit=1), lambda: group.remove(0), at)
        back: Any = run.second if run.happened else group.remove(0)
        other = backend.receiver_set()
        other.add(back, 1)
        tx.send(b"c")
        results = run.first + other.select(0) + other.select(0)
        assert [data for _, data, _ in results] == [b"a", b"b", b"c"]
        assert group.select(0) == []
        return run.happened

    every_step(check)


def test_a_set_is_closed_while_a_receiver_is_added(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        tx, rx = backend.channel()
        group = backend.receiver_set()
        run = Interrupted(lambda: group.add(rx, 0), group.close, at)
        group.close()
        if run.first is ClosedError:
            tx.send(b"a")
            assert rx.recv(0)[0] == b"a"
        else:
            assert tx.wait_closed(0)
        return run.happened

    every_step(check)


def test_wake_during_select_is_not_lost(backend: InprocessBackend) -> None:
    def check(at: int) -> bool:
        group = backend.receiver_set()
        run = Interrupted(lambda: group.select(0.001), group.wake, at)
        if run.happened:
            group.select(0)
        assert group._woken == type(group._woken)()
        return run.happened

    every_step(check)
