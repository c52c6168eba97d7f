"""Waiting for states that nothing reports."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_STEP = 0.001


def wait_until(reached: Callable[[], object], what: str, timeout: float = 20) -> None:
    """Look until `reached()` is true. Raises TimeoutError with the given text after `timeout` s."""
    deadline = time.monotonic() + timeout
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(_STEP)


def wait_until_asleep(thread: threading.Thread) -> None:
    """Wait until a thread of this process blocks, or has ended; where the system does not tell,
    only until it has started. A test has to hold if it is still on its way."""
    wait_until(lambda: thread.native_id, "the thread starts")
    looks = 0

    def asleep() -> bool:
        nonlocal looks
        looks = looks + 1 if state(f"{os.getpid()}/task/{thread.native_id}") in "S?" else 0
        return looks >= 3 or not thread.is_alive()  # once could be a wait for the GIL

    wait_until(asleep, "the thread blocks")


def state(task: int | str) -> str:
    """The letter that /proc gives to a process's state; "?" where there is none."""
    try:
        with open(f"/proc/{task}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(") ")[2][:1]
    except OSError:
        return "?"
