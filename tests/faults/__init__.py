"""Faults injected many times over, and their outcome: `python -m faults` from `tests`.

Each module here declares scenarios with `@fault`. A few runs of each are a test; the full number
fills the table in docs/reliability.md.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipc_core.testing.level import descriptors
from ipc_core.testing.states import wait_until


class Outcome:
    """The outcome of a scenario. `lost` counts messages that were accepted and never arrived;
    `worst` is the longest wait, in seconds."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.lost = 0
        self.leaked = 0
        self.worst = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure a wait that a fault may prolong."""
        started = time.monotonic()
        yield
        self.worst = max(self.worst, time.monotonic() - started)


class Fault:
    """One scenario: its function, its runs for the table, and the longest wait it may cause."""

    def __init__(
        self, text: str, runs: int, within: float, inject: Callable[[Outcome], None]
    ) -> None:
        self.text = text
        self.runs = runs
        self.within = within
        self._inject = inject

    def run(self, runs: int) -> Outcome:
        """Inject the fault `runs` times. Raises AssertionError when something other than a loss,
        a leak or a delay went wrong."""
        outcome = Outcome(runs)
        with _temporary_folder() as folder:
            before = _resources(folder)
            self._inject(outcome)
            gc.collect()
            try:
                wait_until(lambda: _resources(folder) == before, "what was used is given back", 5)
            except TimeoutError:
                after = _resources(folder)
                outcome.leaked = sum(abs(n - b) for n, b in zip(after, before, strict=True))
        return outcome

    def __str__(self) -> str:
        return self._inject.__name__


FAULTS: list[Fault] = []


def fault(
    text: str, *, runs: int, within: float
) -> Callable[[Callable[[Outcome], None]], Callable[[Outcome], None]]:
    """Declare a scenario. It does `outcome.runs` runs, and counts in `outcome`."""

    def declare(inject: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        FAULTS.append(Fault(text, runs, within, inject))
        return inject

    return declare


def load() -> list[Fault]:
    """Import every module of scenarios."""
    if not FAULTS:
        for module in pkgutil.iter_modules(__path__):
            if module.name != "__main__":
                importlib.import_module(f"{__name__}.{module.name}")
    return FAULTS


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """An empty folder for the temporary files of this process and its children."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)
        yield folder


def _resources(folder: str) -> tuple[int, ...]:
    """Descriptors, mappings of ours and threads of this process, and temporary files."""
    maps = Path("/proc/self/maps").read_text().count("memfd:ipc")
    return descriptors(), maps, threading.active_count(), len(os.listdir(folder))
