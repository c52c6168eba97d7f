"""Compare two ways of doing the same work, in one run, taking turns.

A machine's speed changes from minute to minute, so only ratios of neighbours are compared: each
round runs both, and the ratio of the medians over all rounds is the result. The spread of the
ratios of single rounds shows how reliable it is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HEADER = """\
| work | ours | peer | ratio | rounds from - to | goal |
| --- | --- | --- | --- | --- | --- |"""

# Debugging aids slow one side more than the other, and must not reach the children either.
_SLOWS = ("PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class Comparison:
    """Medians in seconds, and the least and greatest ratio of one round."""

    ours: float
    theirs: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """The quotient of the medians; below 1, `ours` is faster."""
        return self.ours / self.theirs


@dataclass(frozen=True)
class Work:
    """A piece of work that both sides can do.

    `ours` and `theirs` do it `count` times and return the seconds taken, without preparations.
    `goal` is the ratio to reach.
    """

    name: str
    ours: Callable[[int], float]
    theirs: Callable[[int], float]
    count: int
    peer: str = "Pipe"
    goal: float | None = None
    rounds: int = 25

    def run(self, quick: bool) -> str:
        """Return the row of the table; if `quick`, only check that the work can be done."""
        count = max(1, self.count // 20) if quick else self.count
        if not quick:  # a first time, so that modules, byte code and helper processes exist
            self.ours(1)
            self.theirs(1)
        result = compare(
            lambda: self.ours(count), lambda: self.theirs(count), 1 if quick else self.rounds
        )
        goal = "" if self.goal is None else f"{self.goal:g}"
        return (
            f"| {self.name} | {_duration(result.ours / count)}"
            f" | {self.peer} {_duration(result.theirs / count)} | {_ratio(result.ratio)}"
            f" | {_ratio(result.low)} - {_ratio(result.high)} | {goal} |"
        )


def compare(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Comparison:
    """Call both in turn, `rounds` times; each returns the seconds that its work took."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = [our_time / their_time for our_time, their_time in pairs]
    mine, yours = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Comparison(mine, yours, min(ratios), max(ratios))


def main(works: Iterable[Work]) -> None:
    """Run a script's works and print its rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a smoke test: times mean nothing")
    quick = parser.parse_args().quick
    if sys.flags.dev_mode or sys.flags.dont_write_bytecode:
        environment = {k: v for k, v in os.environ.items() if k not in _SLOWS}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    for work in works:
        print(work.run(quick), flush=True)


@contextmanager
def child(work: Callable[[], object], cpu: int | None = None) -> Iterator[None]:
    """Run `work` in a forked process while the block runs; no thread may have been started."""

    def run() -> None:
        pin(cpu)
        work()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    try:
        yield
    finally:
        process.join()
    assert process.exitcode == 0


def pin(cpu: int | None) -> None:
    """Run this process on one processor only, or with None on all."""
    if hasattr(os, "sched_setaffinity"):
        cpus = range(os.cpu_count() or 1)
        os.sched_setaffinity(0, cpus if cpu is None else {cpu % len(cpus)})


def descriptors() -> int:
    """Return the number of descriptors that this process has open."""
    return len(os.listdir("/dev/fd"))


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
