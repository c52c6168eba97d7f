"""Timeouts in seconds, as users give them and as backends take them."""

from __future__ import annotations

_FOR_EVER = float("inf")
_LONGEST = 1e10
"""Three hundred years, which floats and clocks can still add to a time: seconds."""


def check_timeout(seconds: float | None) -> float | None:
    """Return the timeout as backends take it: None for ever, else a finite number of seconds.

    Raises ValueError for negative numbers and NaN.
    """
    if seconds is None or seconds == _FOR_EVER:
        return None
    if not seconds >= 0:
        raise ValueError(f"a timeout is a number of seconds from 0 up, not {seconds!r}")
    return min(seconds, _LONGEST)
