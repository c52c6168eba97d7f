"""The time left of a timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ipc_core.spi import Empty


class Deadline:
    """The time left of a timeout."""

    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        return None if self._at is None else max(0, self._at - time.monotonic())

    @contextmanager
    def holding(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock. Raises Empty if it does not come free in time."""
        left = self.left()
        if not lock.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX)):
            raise Empty("another thread waits for the next message")
        try:
            yield
        finally:
            lock.release()
