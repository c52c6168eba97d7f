"""Bounds on how long something takes."""

from __future__ import annotations

import time

GENEROUS = 5.0


class _Timed:
    def __init__(self, seconds: float = GENEROUS) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def _took(self) -> float:
        return time.monotonic() - self._started


class AtLeast(_Timed):
    """Fail a block that takes less than `seconds`, as far as the clock can tell."""

    def __exit__(self, kind: object, *exc_info: object) -> None:
        took = self._took() + time.get_clock_info("monotonic").resolution
        assert kind or took >= self._seconds, f"took {took} s, less than {self._seconds}"


class Soon(_Timed):
    """Fail a block that takes more than `seconds`: far more than any machine needs, far less
    than the timeouts inside."""

    def __exit__(self, kind: object, *exc_info: object) -> None:
        took = self._took()
        assert kind or took < self._seconds, f"took {took} s, more than {self._seconds}"
