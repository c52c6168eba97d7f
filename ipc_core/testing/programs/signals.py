"""Programs of processes that are sent signals. Each needs a main thread and timers of its own."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import ipc_core
from ipc_core import Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.programs import _meet
from ipc_core.testing.states import wait_until, wait_until_asleep
from ipc_core.testing.waiting import BOUND, SOON

if TYPE_CHECKING:
    from typing_extensions import Self

WAITS = (
    "recv",
    "recv_many",
    "select",
    "accept",
    "wait_closed",
    "router",
    "stream asyncio",
    "stream trio",
)

INTERVAL = 0.01
"""Seconds between the signals of a storm."""

TIMEOUT = 0.5
LATE = 0.1
"""The seconds by which a timed wait may return late in a storm of signals."""

ATTEMPTS = 3
"""Attempts: a busy machine may delay a process by LATE, but not so often in a row."""

PROMPT = 1.0
"""Seconds within which Ctrl-C ends a wait."""

LARGE = 50 << 20

ENOUGH = 200
"""The number of interrupts."""

SIZES = (0, 100, 100, 9000, 100, 100, 70_000)


class Wait:
    """Something to wait for: `wait(timeout)` returns 1 or raises Empty, `end()` makes it happen."""

    def __init__(self, wait: Callable[[float | None], Any], end: Callable[[], object]) -> None:
        self.wait = wait
        self.end = end


def _wait_for(bag: Bag, what: str) -> Wait:
    tx, rx = bag.channel()

    def send() -> None:
        tx.send(1)

    if what == "recv":
        return Wait(lambda t: rx.recv() if t is None else rx.try_recv_timeout(t), send)
    if what == "recv_many":
        return Wait(lambda t: len(rx.recv_many(5, t)), send)
    if what == "select":
        receivers = bag.receiver_set()
        receivers.add(rx)
        return Wait(
            lambda t: len(receivers.select() if t is None else receivers.try_select_timeout(t)),
            send,
        )
    if what == "accept":
        server, name = bag.server()

        def accept(timeout: float | None) -> Any:
            accepted, first = server.accept(timeout)
            bag.keep(accepted)
            return first

        return Wait(accept, lambda: bag.connect(name).send(1))
    if what == "wait_closed":
        return Wait(lambda t: int(_true(tx.wait_closed(t))), rx.close)
    if what == "router":
        router = bag.enter_context(ipc_core.Router())
        messages = router.route_to_queue(rx)
        return Wait(lambda t: _from_queue(messages, t), send)
    return _wait_for_stream(bag.keep(rx.to_stream()), what.partition(" ")[2], send)


def _wait_for_stream(stream: Any, loop: str, send: Callable[[], object]) -> Wait:
    import asyncio  # here, for the sake of the other children

    import anyio

    anyio.run(anyio.sleep, 0, backend=loop)  # an interrupt of its import would leave half of it

    async def receive(timeout: float | None) -> Any:
        with anyio.move_on_after(timeout):
            return await stream.recv()
        raise Empty

    def run(timeout: float | None) -> Any:
        if loop == "asyncio":
            return asyncio.run(receive(timeout))  # anyio.run cancels instead on Python 3.10
        return anyio.run(receive, timeout, backend=loop)

    return Wait(run, send)


def _true(happened: bool) -> bool:
    if not happened:
        raise Empty
    return True


def _from_queue(messages: queue.Queue[Any], timeout: float | None) -> Any:
    try:
        return messages.get(timeout=timeout)
    except queue.Empty:
        raise Empty from None


class Storm:
    """A timer signal every INTERVAL seconds, with a handler that returns."""

    def __init__(self) -> None:
        self.handled = 0

    def __enter__(self) -> Self:
        if sys.platform == "win32":
            raise NotImplementedError
        signal.signal(signal.SIGALRM, self._handle)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.handled += 1

    def goes_on(self) -> None:
        """Wait until the storm has struck ten times more."""
        before = self.handled
        wait_until(lambda: self.handled >= before + 10, "the storm goes on")


def wait_in_a_storm(what: str) -> None:
    """Wait in vain for the whole timeout; then get the next message by a wait of any length."""
    with Bag() as bag, Storm() as storm:
        wait = _wait_for(bag, what)
        for attempt in range(ATTEMPTS):
            before = storm.handled
            started = time.monotonic()
            try:
                raise AssertionError(f"{wait.wait(TIMEOUT)!r} came from nowhere")
            except Empty:
                took = time.monotonic() - started
            assert took >= TIMEOUT, f"{what} returned after {took} s"
            assert storm.handled >= before + 5
            if took <= TIMEOUT + LATE:
                break
            assert attempt < ATTEMPTS - 1, f"{what} returned after {took} s"

        def end() -> None:
            storm.goes_on()
            wait.end()

        helper = bag.thread(end)
        assert wait.wait(None) == 1
        helper.result()


def transfer_in_a_storm() -> None:
    """Send and receive large messages until the storm has struck often."""
    with Bag() as bag, Storm() as storm:
        message = bytes(range(256)) * (LARGE // 256)
        tx, rx = bag.bytes_channel()
        for send_here in (True, False):
            before = storm.handled
            while storm.handled < before + 20:
                if send_here:
                    helper = bag.thread(rx.recv)
                    tx.send(message)
                    received = helper.result()
                else:
                    helper = bag.thread(tx.send, message)
                    received = rx.recv()
                    helper.result()
                assert received == message


def interrupt(what: str) -> None:
    """End a wait by Ctrl-C, with and without a timeout; the next one gets the next message."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Bag() as bag:
        wait = _wait_for(bag, what)
        for timeout in (None, BOUND):
            sent: list[float] = []

            def press(sent: list[float] = sent) -> None:
                wait_until_asleep(threading.main_thread())
                sent.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

            helper = bag.thread(press)
            try:
                raise AssertionError(f"{wait.wait(timeout)!r} came from nowhere")
            except KeyboardInterrupt:
                took = time.monotonic() - sent[0]
            assert took < PROMPT, f"{what} was interrupted after {took} s"
            helper.result()
        wait.end()
        started = time.monotonic()
        assert wait.wait(BOUND) == 1
        assert time.monotonic() - started < SOON


class _Hammered:
    """Ctrl-C raises KeyboardInterrupt, except between two calls of the library."""

    def __init__(self) -> None:
        self.interrupts = 0
        self._mine = sys._getframe(1).f_code
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code not in (self._mine, _Hammered._handle.__code__):
            self.interrupts += 1
            raise KeyboardInterrupt


def send_hammered(name: str) -> None:
    """Send numbers, each again if it was interrupted; then None, and how often that was."""
    with Bag() as bag:
        to_parent, _ = _meet(bag, name)
        to_parent.send("ready")
        hammered = _Hammered()
        number = 0
        while hammered.interrupts < ENOUGH:
            try:
                while hammered.interrupts < ENOUGH:
                    to_parent.send((number, bytes(SIZES[number % len(SIZES)])))
                    number += 1
            except KeyboardInterrupt:
                continue
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        to_parent.send(None)
        to_parent.send(number)
