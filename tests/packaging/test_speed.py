"""The speed that the README states, as ratios within one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipc_core.plugins import choice
from ipc_core.spi import Capability

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text())
TRIES = 3
MOST = 1.3
"""Measurements are between 0.7 and 1.2, on the same machine at different times."""


@pytest.fixture(autouse=True)
def _cross_process() -> None:
    if Capability.CROSS_PROCESS not in choice.backend().capabilities:
        pytest.skip("the chosen backend works in one process only")


def run(program: str, *arguments: str) -> list[list[str]]:
    """Return the table's rows, each as its cells."""
    slow = {"PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.run(
        [sys.executable, BENCHMARKS / program, *arguments],
        env={k: v for k, v in os.environ.items() if k not in slow},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, ""), process.stderr
    rows = [line.split(" | ") for line in process.stdout.splitlines() if line.startswith("| ")]
    assert rows
    return rows


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", ["streaming.py", "starting.py"])
def test_about_as_fast_as_multiprocessing(program: str) -> None:
    """One undisturbed run of three is enough: a busy machine slows both, but not evenly."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the comparison pins processes to processors")
    for _ in range(TRIES):
        rows = run(program)
        if all(float(ratio) <= MOST for _, _, _, ratio, *_ in rows):
            return
    pytest.fail(f"more than {MOST} of multiprocessing's time in {TRIES} runs: {rows}")


@pytest.mark.timeout(300)
def test_a_typed_channel_is_faster_than_the_default() -> None:
    """By a fifth, when nothing disturbs; messages between two processors are not looked at."""
    pytest.importorskip("msgspec")
    for _ in range(TRIES):
        rows = run("codecs.py")
        if all(float(ratio) <= 1 for name, _, _, ratio, *_ in rows if "two cores" not in name):
            return
    pytest.fail(f"slower than the default codec in {TRIES} runs: {rows}")


@pytest.mark.timeout(300)
def test_plain_data_goes_at_the_speed_of_pickle() -> None:
    """The codec's share of a small dict; measurements are between 1.15 and 1.2."""
    for _ in range(TRIES):
        (row,) = [row for row in run("codec.py") if row[0] == "| small dict, codec"]
        if float(row[3]) <= float(row[5].rstrip(" |")):
            return
    pytest.fail(f"too slow in {TRIES} runs: {row}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", SCRIPTS)
def test_every_benchmark_runs(program: str) -> None:
    assert all(len(row) == 6 for row in run(program, "--quick"))
