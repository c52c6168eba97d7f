"""Signals that arrive while something waits, sends or receives."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from typing import Any

import pytest

from ipc_core.spi import Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import meet
from ipc_core.testing.programs import signals as programs
from ipc_core.testing.waiting import BOUND

needs_timers = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no interval timers"
)


def each_wait(test: Any) -> Any:
    """Run the test for each kind of wait whose event loop is installed."""
    return pytest.mark.parametrize(
        "what",
        [
            pytest.param(
                what,
                marks=pytest.mark.skipif(
                    what.endswith("trio") and find_spec("trio") is None, reason="trio is missing"
                ),
            )
            for what in programs.WAITS
        ],
    )(test)


@each_test(needs_timers)
@each_test(pytest.mark.threads)
class TestSignals:
    @each_wait
    def test_signals_in_a_wait(self, backend: Backend, children: Children, what: str) -> None:
        """I33, W13, W14: signals every 10 ms neither shorten a timed wait nor lengthen it much,
        nor end one without a timeout."""
        assert children.start(programs.wait_in_a_storm, what).wait(BOUND) == 0

    def test_signals_in_a_transfer(self, backend: Backend, children: Children) -> None:
        """I33, W13: messages of 50 MiB are sent and received whole while signals arrive."""
        assert children.start(programs.transfer_in_a_storm).wait(BOUND) == 0

    @each_wait
    def test_interrupted_wait(self, backend: Backend, children: Children, what: str) -> None:
        """I34: Ctrl-C ends a wait within a second, and the next wait gets the next message."""
        assert children.start(programs.interrupt, what).wait(BOUND) == 0

    @requires(Capability.CROSS_PROCESS, Capability.OUTLIVES_SENDER)
    def test_interrupted_sender_loses_nothing(self, bag: Bag, children: Children) -> None:
        """I34: a send that is interrupted has sent its message, or nothing of it."""
        child, (_, rx) = meet(bag, children, programs.send_hammered)
        assert rx.recv() == "ready"
        following = 0
        count = 0
        while True:
            count += 1
            if count % 20 == 0 and child.poll() is None:
                os.kill(child.pid, signal.SIGINT)
            message = rx.try_recv_timeout(BOUND)
            if message is None:
                break
            number, data = message
            assert number in (following, following - 1)
            assert data == bytes(programs.SIZES[number % len(programs.SIZES)])
            following = number + 1
        assert following - rx.try_recv_timeout(BOUND) in (0, 1)
        assert child.wait(BOUND) == 0
