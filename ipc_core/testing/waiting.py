"""Waits for states, with a bound, and observations of waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import ipc_core
from ipc_core import ChannelClosed, Empty, MessageReceived
from ipc_core.testing.bag import Worker

T = TypeVar("T")

BOUND = 30
"""The seconds that a test waits at most."""

SOON = 5
"""The seconds that an immediate event takes at most, also on a busy machine."""


def eventually(poll: Callable[[], T]) -> T:
    """Call `poll` until it does not raise Empty: some transports need a moment to deliver."""
    deadline = time.monotonic() + BOUND
    while True:
        try:
            return poll()
        except Empty:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def still_waits(worker: Worker, seconds: float = 0.05) -> bool:
    """Whether a thread is in the middle of its wait."""
    worker.join(seconds)
    return worker.is_alive()


def collect(
    receivers: ipc_core.IpcReceiverSet, count: int
) -> tuple[list[tuple[int, object]], list[int]]:
    """Select until there were `count` results; return decoded messages by id, and closed ids."""
    messages: list[tuple[int, object]] = []
    closed: list[int] = []
    while len(messages) + len(closed) < count:
        for result in receivers.try_select_timeout(BOUND):
            match result:
                case MessageReceived(id, message):
                    messages.append((id, message.to()))
                case ChannelClosed(id):
                    closed.append(id)
    return messages, closed
