"""The random programs of `machine`, with faults as further steps."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NoReturn

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import ipc_core
from ipc_core.plugins import choice
from ipc_core.spi import Capability
from ipc_core.testing.machine import PATIENCE, Channel, ChannelMachine, Held, Message


class Interruption(BaseException):
    """The exception that interrupts a step."""


class Raising:
    """An object that cannot be pickled: the error it is made with is raised half-way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> NoReturn:
        raise self.error


class FaultMachine(ChannelMachine):
    """Sends that fail, waits that signals interrupt, descriptors that run out, and processes that
    are killed while they hold ends. After each the model states the facts that must still hold."""

    def __init__(self) -> None:
        super().__init__()
        claimed = choice.backend(self.backend).capabilities
        self.forks = Capability.FORK in claimed and Capability.OUTLIVES_SENDER in claimed

    @rule(
        data=st.data(),
        error=st.sampled_from([ValueError, RecursionError, MemoryError, Interruption]),
    )
    @precondition(lambda self: self.has("sender"))
    def send_what_fails(self, data: st.DataObject, error: type[BaseException]) -> None:
        """Nothing is sent and every end stays usable, wherever in the message the error is."""
        sender = self.some(data, "sender")
        carried = data.draw(st.lists(st.sampled_from(self.held), max_size=3, unique=True))
        wrapped = error not in (MemoryError, Interruption)
        with pytest.raises(ipc_core.EncodeError if wrapped else error):
            sender.real.send(([h.real for h in carried], Raising(error("half-way"))))

    @rule(data=st.data(), raises=st.booleans())
    @precondition(lambda self: self.has("receiver") and hasattr(signal, "setitimer"))
    def receive_interrupted(self, data: st.DataObject, raises: bool) -> None:
        """A signal during a wait ends it only if its handler raises, and loses no message."""
        receiver = self.some(data, "receiver")
        queue: Any = receiver.model.queue
        if queue or receiver.model not in self.reachable()[0]:
            return
        started = time.monotonic()
        with (
            pytest.raises(Interruption if raises else ipc_core.Empty),
            _alarm_after(0.003, Interruption() if raises else None),
        ):
            receiver.real.try_recv_timeout(PATIENCE if raises else 0.01)
        assert raises or time.monotonic() - started >= 0.01

    @rule()
    @precondition(lambda self: find_spec("resource") is not None and len(self.held) < 30)
    def make_channel_without_descriptors(self) -> None:
        """Make a channel, or fail with a clear error and leave everything as it was."""
        with _no_more_descriptors():
            try:
                tx, rx = ipc_core.channel()
            except ipc_core.IpcIOError:
                return
        channel = Channel(self.count)
        self.count += 1
        self.held += [Held("sender", channel, tx), Held("receiver", channel, rx)]

    @rule(data=st.data(), count=st.sampled_from([0, 1, 5, 400]), kill=st.booleans())
    @precondition(lambda self: self.forks and self.has("sender"))
    def child_sends_and_dies(self, data: st.DataObject, count: int, kill: bool) -> None:
        """Messages of a process arrive that it sent before it was killed."""
        sender = self.some(data, "sender")
        if sender.model not in self.reachable()[1]:
            return

        def work() -> None:
            for number in range(count):
                sender.real.send((number, []))
            _die(kill)

        _in_child(work)
        sender.model.queue.extend(Message(number, []) for number in range(count))

    @rule(data=st.data(), count=st.integers(0, 3), kill=st.booleans())
    @precondition(lambda self: self.forks and self.has("receiver"))
    def child_takes_and_dies(self, data: st.DataObject, count: int, kill: bool) -> None:
        """A receiver that was sent to a process dies with it, and so does its queue."""
        receiver = self.some(data, "receiver")
        carrier_tx, carrier_rx = ipc_core.channel()

        def work() -> None:
            taken = carrier_rx.recv()
            for _ in range(min(count, len(receiver.model.queue))):
                taken.recv()
            _die(kill)

        with carrier_tx:
            carrier_tx.send(receiver.real)
            self.held.remove(receiver)
            _in_child(work, carrier_rx.close)
        self.forget_unreachable()


@contextmanager
def _alarm_after(seconds: float, error: BaseException | None) -> Iterator[None]:
    """Have a signal handler run in this thread, once; it raises `error`."""
    if sys.platform == "win32":
        raise NotImplementedError

    def handler(*_: object) -> None:
        if error is not None:
            raise error

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _no_more_descriptors() -> Iterator[None]:
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _in_child(work: Callable[[], None], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run `work`, which ends its process, in a fork; then make sure that it got that far."""
    if sys.platform == "win32":
        raise NotImplementedError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that other tests left
        pid = os.fork()
    if pid == 0:
        try:
            threading.Timer(PATIENCE, os._exit, (1,)).start()
            work()
        finally:
            os._exit(1)
    meanwhile()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the child failed: {status}"


def _die(kill: bool) -> None:
    if sys.platform == "win32":
        raise NotImplementedError
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)
