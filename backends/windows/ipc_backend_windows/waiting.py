"""Waits that end by a deadline, by an event, or by Ctrl-C."""

from __future__ import annotations

import _winapi
import math
import time
from collections.abc import Sequence

from ipc_backend_windows.kernel_handles import Handle
from ipc_backend_windows.win32 import WAIT_TIMEOUT

_LONGEST = 0x7FFFFFFE
"""The longest wait of one call, in milliseconds."""


class Deadline:
    """The end of a timeout of `timeout` seconds from now; None means never."""

    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.perf_counter() + timeout

    def left(self) -> float | None:
        """Return the seconds left, not below 0; None without a limit."""
        return None if self._at is None else max(0.0, self._at - time.perf_counter())

    def passed(self) -> bool:
        """Return whether the time is over."""
        return self._at is not None and time.perf_counter() >= self._at


def wait(events: Sequence[Handle], deadline: Deadline) -> bool:
    """Wait until one of up to 63 events is set, or the deadline has passed; return whether one is.

    Like the standard library, this uses `_winapi`: only there does Ctrl-C end the wait of the
    main thread. Raises OSError.
    """
    numbers = [event.value for event in events]
    while True:
        left = deadline.left()
        milliseconds = _LONGEST if left is None else math.ceil(min(left * 1000, _LONGEST))
        try:
            if _winapi.WaitForMultipleObjects(numbers, False, milliseconds) != WAIT_TIMEOUT:
                return True
        except InterruptedError:
            continue  # the handler runs before the next call; if it raises, it ends this wait
        if deadline.passed():
            return False
