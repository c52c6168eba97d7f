"""Compare two ways of doing the same work, in one run, taking turns.

A machine's speed changes from minute to minute, so only ratios of neighbours are told: each round
runs both, and the ratio of the medians over all rounds is the result.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Comparison:
    """Medians in seconds, and their ratio: below 1, `ours` is faster."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def compare(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Comparison:
    """Call both in turn; each returns the seconds that its work took."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return Comparison(*(statistics.median(times) for times in zip(*pairs, strict=True)))


@contextmanager
def child(work: Callable[[], object], cpu: int | None = None) -> Iterator[None]:
    """Run `work` in a forked process while the block runs."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            pin(cpu)
            work()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.waitpid(pid, 0)


def pin(cpu: int | None) -> None:
    """Stay on one processor, or with None use all."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1) if cpu is None else {cpu})
