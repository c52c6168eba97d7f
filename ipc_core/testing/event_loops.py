"""Coroutines in tests, also where an event loop has nothing to select on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

_TURNS = 20
"""A number of turns that no task of a test takes before it waits."""


def run(main: Callable[[], Awaitable[Any]], loop: str) -> Any:
    """Run `main()` to its end on a new loop, "asyncio" or "trio"; return its result.

    Skips the test in a Pyodide that cannot wait for a coroutine.
    """
    if sys.platform == "emscripten":
        return _run_in_pyodide(main)
    if sys.platform == "wasi":
        return anyio.run(main, backend=loop, backend_options={"loop_factory": SleepingLoop})
    return anyio.run(main, backend=loop)


async def all_tasks_blocked() -> None:
    """Return when every other task of the loop waits for something."""
    if sys.platform == "emscripten":
        # There the loop's tasks include the one that runs the tests, which never waits.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
    else:
        await anyio.wait_all_tasks_blocked()


def _run_in_pyodide(main: Callable[[], Awaitable[Any]]) -> Any:
    from pyodide.ffi import can_run_sync, run_sync  # type: ignore[import-not-found]

    if not can_run_sync():
        pytest.skip("without stack switching Pyodide cannot wait for a coroutine")
    return run_sync(main())


class SleepingLoop(asyncio.BaseEventLoop):
    """A loop without descriptors: between timers it sleeps. Only it can schedule on itself."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self

    def select(self, timeout: float | None) -> list[Any]:
        """Take the place of a selector: nothing is ever ready.

        Raises RuntimeError for a wait that nothing could end.
        """
        if timeout is None:
            raise RuntimeError("every task waits, and no timer runs")
        time.sleep(timeout)
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
