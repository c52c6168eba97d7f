"""KeyboardInterrupt, and other exceptions, in the middle of sends and receives."""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ipc_core import DecodeError, Disconnected, Empty, EncodeError, IpcReceiver, IpcSender
from ipc_core.spi import THREADS, Backend, Capability
from ipc_core.testing import programs
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import drops, requires
from ipc_core.testing.payloads import MIB, pattern
from ipc_core.testing.waiting import BOUND

CLEANING_UP = ("__del__", "__exit__", "_give_back", "_given_back", "_leave", "close", "release")
"""The functions whose clean-up an interrupt prevents; nothing can be promised there."""

LONG = 1000
"""A number of messages beyond the capacity of a socket."""


def interrupted(call: Callable[[], object], step: int, modules: tuple[str, ...]) -> bool:
    """Call this, with KeyboardInterrupt before line number `step`, counted from 0, that it runs
    in these modules. Return whether there is such a line."""
    left = step
    came = False

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left, came
        if not frame.f_globals.get("__name__", "").startswith(modules):
            return None
        if event == "line" and not cleans_up(frame):
            left -= 1
            if left < 0:
                sys.settrace(None)
                came = True
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return came


def cleans_up(frame: FrameType | None) -> bool:
    """Whether this line is part of a clean-up, or called from one."""
    while frame is not None and frame.f_code is not interrupted.__code__:
        code = frame.f_code
        if code.co_name in CLEANING_UP or frame.f_lineno in final_lines(code.co_filename):
            return True
        frame = frame.f_back
    return False


@functools.cache
def final_lines(filename: str) -> set[int]:
    """The lines in `finally` blocks."""
    try:
        tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return set()
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and node.finalbody
        for line in range(node.finalbody[0].lineno, (node.finalbody[-1].end_lineno or 0) + 1)
    }


CORE = ("ipc_core.channels.channel", "ipc_core.channels.sender", "ipc_core.channels.receiver",
        "ipc_core.messages.message", "ipc_core.messages.attachable", "ipc_core.messages.format",
        "ipc_core.codecs")  # fmt: skip


def interrupt_send(
    bag: Bag, step: int, modules: tuple[str, ...], size: int = 1, queued: int = 0
) -> bool:
    """Interrupt the sending of a sender, a receiver and some bytes at a line. Either it has
    happened as a whole or not at all; its attachments can be used; the next message is right."""
    (tx, rx), (sub_tx, sub_rx), (moved_tx, moved_rx) = (bag.channel() for _ in range(3))
    for number in range(queued):
        tx.send(number)
    came = interrupted(lambda: tx.send([sub_tx, moved_rx, pattern(size)]), step, modules)
    tx.send(["next", sub_tx])
    for number in range(queued):
        assert rx.recv() == number
    message = rx.recv()
    if message[0] == "next":
        assert came
        moved_tx.send("still here")
        assert moved_rx.try_recv_timeout(BOUND) == "still here"
        tx.send(moved_rx)
        moved = rx.recv()
    else:
        sub, moved, data = message
        assert data == pattern(size)
        sub.send("sub")
        assert sub_rx.try_recv_timeout(BOUND) == "sub"
        sub.close()
        message = rx.recv()
    assert message[0] == "next"
    moved_tx.send("moved")
    assert moved.try_recv_timeout(BOUND) == "moved"
    with pytest.raises(Empty):
        rx.try_recv()
    for end in (tx, rx, sub_tx, message[1], moved, moved_tx, moved_rx):
        end.close()
    with pytest.raises(Disconnected):
        sub_rx.try_recv_timeout(BOUND)
    sub_rx.close()
    return came


def interrupt_recv(bag: Bag, step: int, modules: tuple[str, ...], size: int = 1) -> bool:
    """Interrupt a receive at a line. That message may be lost; the next message is right."""
    (tx, rx), (sub_tx, sub_rx) = bag.channel(), bag.channel()
    tx.send([sub_tx, pattern(size)])
    tx.send(["next", sub_tx])
    came = interrupted(rx.recv, step, modules)
    message = rx.recv()
    if message[0] != "next":
        assert message[1] == pattern(size)
        message[0].close()
        message = rx.recv()
    text, sender = message
    assert text == "next"
    sender.send("sub")
    assert sub_rx.try_recv_timeout(BOUND) == "sub"
    for end in (tx, rx, sub_tx, sub_rx, sender):
        end.close()
    return came


def at_every_line(interrupt: Callable[[int], bool], at_least: int) -> None:
    """Interrupt at line 0, 1, 2, ... until there is none."""
    step = 0
    while interrupt(step):
        step += 1
    assert step >= at_least


class Failing:
    """An object that raises while it is encoded, or while it is decoded."""

    def __init__(self, error: BaseException, here: bool) -> None:
        self._error = error
        self._here = here

    def __reduce__(self) -> tuple[Any, ...]:
        if self._here:
            raise self._error
        return _fail, (self._error,)


def _fail(error: BaseException) -> None:
    raise error


class Nested:
    """An object with a failing send in its encoding, or a failing receive in its decoding."""

    def __init__(self, tx: IpcSender[Any], inner: IpcReceiver[Any], fails: object) -> None:
        self._tx = tx
        self._inner = inner
        self._fails = fails

    def __reduce__(self) -> tuple[Any, ...]:
        with pytest.raises(EncodeError):
            self._tx.send([self._tx, self._fails])
        return _nested, (self._inner,)


def _nested(inner: IpcReceiver[Any]) -> str:
    with inner, pytest.raises(DecodeError):
        inner.recv()
    return "nested"


class TestInterrupts:
    @pytest.mark.parametrize("size", [1, MIB], ids=["small", "large"])
    def test_interrupted_at_every_line_of_a_send(self, bag: Bag, size: int) -> None:
        """W2, W3, W39: wherever a send is interrupted, the ends in its message stay usable."""
        at_every_line(lambda step: interrupt_send(bag, step, CORE, size), 15)

    @requires(Capability.UNBOUNDED)
    def test_interrupted_at_every_line_of_a_send_to_a_long_queue(self, bag: Bag) -> None:
        """W2, W39: an interrupted send to a long queue leaves the ends in its message usable."""
        at_every_line(lambda step: interrupt_send(bag, step, CORE, queued=LONG), 15)

    @drops
    @pytest.mark.parametrize("size", [1, MIB], ids=["small", "large"])
    def test_interrupted_at_every_line_of_a_receive(self, bag: Bag, size: int) -> None:
        """W4: wherever a receive is interrupted, at most that message is lost."""
        at_every_line(lambda step: interrupt_recv(bag, step, CORE, size), 15)

    @pytest.mark.parametrize(
        "error", [ValueError, RecursionError, MemoryError, KeyboardInterrupt, SystemExit]
    )
    @pytest.mark.parametrize("here", [True, False], ids=["encode", "decode"])
    def test_exceptions(self, bag: Bag, error: type[BaseException], here: bool) -> None:
        """W1, W2, W39: an exception from an object on its way out or in harms that message only."""
        (tx, rx), (sub_tx, sub_rx), (moved_tx, moved_rx) = (bag.channel() for _ in range(3))
        ours = EncodeError if here else DecodeError
        with pytest.raises((ours, error)) as caught:  # noqa: PT012
            tx.send([sub_tx, moved_rx, Failing(error("told to"), here)])
            rx.recv()
        assert error in (type(caught.value), type(caught.value.__cause__))
        assert (
            type(caught.value) is ours or error is MemoryError or not issubclass(error, Exception)
        )
        del caught
        gc.collect()
        if here:
            moved_tx.send("still here")
            assert moved_rx.recv() == "still here"
        else:
            assert moved_tx.wait_closed(BOUND)
        with pytest.raises(Empty):
            rx.try_recv()
        tx.send(["next"])
        assert rx.recv() == ["next"]
        sub_tx.close()
        with pytest.raises(Disconnected):
            sub_rx.try_recv_timeout(BOUND)

    def test_nested_failures(self, bag: Bag) -> None:
        """W3, W4: a nested send that fails, and a nested receive that fails, leave the message
        around them whole."""
        (tx, rx), (one_tx, one_rx), (two_tx, two_rx) = (bag.channel() for _ in range(3))
        inner_tx, inner_rx = bag.channel()
        inner_tx.send([one_tx, Failing(ValueError("inner"), here=False)])
        nested = Nested(inner_tx, inner_rx, Failing(ValueError("inner"), here=True))
        tx.send([one_tx, nested, two_tx])
        one, text, two = rx.recv()
        assert text == "nested"
        for end in (bag.keep(one), bag.keep(two)):
            end.send("whole")
        assert [one_rx.recv(), two_rx.recv()] == ["whole", "whole"]

    def test_nesting_without_end(self, bag: Bag) -> None:
        """W2: a message nested deeper than the codec can follow is an EncodeError; endpoints in it
        stay."""
        if not THREADS:
            pytest.skip("WebAssembly ends the interpreter when any pickle nests too deep")
        tx, rx = bag.channel()
        moved_tx, moved_rx = bag.channel()
        message: list[Any] = [moved_rx]
        for _ in range(100_000):
            message = [message, moved_tx]
        with pytest.raises(EncodeError):
            tx.send(message)
        while message:  # freeing it all at once would nest as deep
            message = message[0] if isinstance(message[0], list) else []
        moved_tx.send("still here")
        assert moved_rx.recv() == "still here"
        tx.send("next")
        assert rx.recv() == "next"

    @requires(Capability.CROSS_PROCESS)
    def test_out_of_memory(self, bag: Bag, backend: Backend, children: Children) -> None:
        """W2, W39: a process that has no memory for a message says so, and goes on."""
        pytest.importorskip("resource")
        _, (tx, rx) = programs.meet(bag, children, programs.run_out_of_memory)
        moved_tx, moved_rx = bag.channel()
        tx.send(moved_rx)
        assert rx.recv() == "next"
        moved = bag.recv(rx)
        moved_tx.send("still here")
        assert moved.recv() == "still here"
