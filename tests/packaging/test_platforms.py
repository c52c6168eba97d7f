"""The tables of docs/platforms.md equal the reports of the kit's runs, and are complete."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools import platforms

ROOT = Path(__file__).parents[2]
Change = Callable[..., None]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Write made-up reports, one for each row, of a kit with eight tests."""
    for name in platforms.ROWS:
        outcome = {
            "backend": name.rpartition("-")[2],
            "interpreter": "CPython 3.11.9",
            "system": "Linux 6.1",
            "passed": 5,
            "failed": 0,
            "skipped": {"it does not claim FORK": 1, "this system has no fork": 2},
            "kit": "abc",
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(outcome))
    return tmp_path


@pytest.fixture
def change(reports: Path) -> Change:
    def change(name: str, **values: Any) -> None:
        path = reports / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def test_every_report_is_a_row(reports: Path, change: Change) -> None:
    change("windows-windows", system="Wine 8.0", failed=1, passed=4)
    lines = platforms.counts(platforms.load(reports))
    assert len(lines) == 2 + len(platforms.ROWS)
    assert "| `windows` | Wine 8.0 | CPython 3.11.9 | 4 | 3 | 1 |" in lines
    assert "| `macos` | a fake Mach kernel on Linux 6.1 | CPython 3.11.9 | 5 | 3 | 0 |" in lines


def test_a_report_from_a_mac_would_not_be_called_a_fake(reports: Path, change: Change) -> None:
    change("macos", system="macOS 15.1")
    assert "| `macos` | macOS 15.1 | CPython" in "\n".join(
        platforms.counts(platforms.load(reports))
    )


def test_equal_reasons_share_a_line(reports: Path, change: Change) -> None:
    change("py312-unix", interpreter="CPython 3.12.1", skipped={})
    lines = platforms.explanations(platforms.load(reports))
    assert "- `unix` on Linux 6.1, CPython 3.12.1: none." in lines
    [other] = [line for line in lines if line.startswith("- `unix`") and "3.12.1" not in line]
    assert other.count("CPython") == 3
    assert other.endswith(": not claimed: `FORK` 1; this system has no fork 2.")


def test_reports_of_different_kits_are_refused(reports: Path, change: Change) -> None:
    change("macos", kit="abd")
    with pytest.raises(SystemExit, match="different versions"):
        platforms.load(reports)


def test_what_is_missing_is_named_with_what_makes_it(reports: Path) -> None:
    (reports / "wasi-inprocess.json").unlink()
    with pytest.raises(SystemExit, match="-e wasm"):
        platforms.load(reports)


def test_a_run_of_a_part_takes_away_the_report_of_the_whole(tmp_path: Path) -> None:
    stale = tmp_path / ".cache" / "kit" / "mine.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    command = (
        f"-m pytest -q -k test_embedded --rootdir {tmp_path} -p ipc_core.testing.plugin"
        " -p tools.kit_report --kit-report mine"
        " --pyargs ipc_core.testing.suite --ipc-backend inprocess"
    )
    run = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, text=True, timeout=100,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert not stale.exists()


def test_every_row_is_run_by_make_test() -> None:
    text = (ROOT / "tox.ini").read_text()
    listed = re.search(r"env_list =\n((?:    .*\n)+)", text)
    assert listed
    for environment in platforms.ROWS.values():
        python, _, backend = environment.partition("-")
        if backend:
            assert python[3:] in re.findall(r"\d+", listed[1])
            assert backend in listed[1]
        else:
            assert environment in listed[1].split()


def test_the_page_has_a_row_without_a_failure_for_each() -> None:
    table = platforms.PAGE.read_text().partition(platforms.BEGIN)[2].partition(platforms.END)[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \| (\d+) \| (\d+) \|$", table, re.MULTILINE)
    assert [backend for backend, *_ in rows] == [name.rpartition("-")[2] for name in platforms.ROWS]
    assert [int(failed) for *_, failed in rows] == [0] * len(rows)
    assert all(int(passed) > 300 for _, passed, _, _ in rows)
