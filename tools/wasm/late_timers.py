"""Timers that run late, as every event loop of the standard library allows.

Pyodide's own loop raises ValueError from `call_at` for a moment that has passed. A program cannot
avoid such a moment: anyio reads the clock, finds that a deadline is still ahead, and asks for a
timer. On a busy machine the deadline passes between these two steps.
"""

from __future__ import annotations

from typing import Any


def allow_late_timers(loop: Any) -> None:
    """Have `loop` run a timer whose moment has passed as soon as it can."""
    call_later = loop.call_later

    def at_once_if_late(delay: float, *args: Any, **options: Any) -> Any:
        return call_later(max(delay, 0), *args, **options)

    loop.call_later = at_once_if_late
