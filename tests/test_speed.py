"""The speed that the README states, as ratios within one run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TRIES = 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", ["streaming.py", "starting.py"])
def test_not_slower_than_multiprocessing(program: str) -> None:
    """One undisturbed run of three is enough: a busy machine slows both, but not evenly."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the comparison pins processes to processors")
    for _ in range(TRIES):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDEVMODE"}
        output = subprocess.run(
            [sys.executable, BENCHMARKS / program],
            env=environment, capture_output=True, text=True, check=True, timeout=100,
        ).stdout  # fmt: skip
        ratios = [float(ratio) for ratio in re.findall(r"ratio ([\d.]+)", output)]
        assert ratios, output
        if max(ratios) <= 1:
            return
    pytest.fail(f"slower than multiprocessing in {TRIES} runs: {output}")
