"""A pytest plugin that writes a report of a run of the conformance kit.

    python -m pytest -p tools.kit_report --kit-report NAME --pyargs ipc_core.testing.suite ...

writes .cache/kit/NAME.json, which tools/platforms.py reads: the backend, the interpreter and the
system, the numbers of tests passed and failed, those skipped for each reason, and a digest of the
kit. A run that leaves tests out writes no report, and removes that of an earlier run.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ipc_core.testing
from ipc_core.plugins import choice


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ipc-core").addoption("--kit-report", metavar="NAME")


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--kit-report")
    if name:
        path = config.rootpath / ".cache" / "kit" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        config.pluginmanager.register(Report(path), "kit report")


class Report:
    """The counts of one run's outcomes, written to `path` at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = Counter[str]()
        self.failed: set[str] = set()
        self.passed: set[str] = set()
        self.whole = True

    def pytest_deselected(self) -> None:
        self.whole = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._count(report)
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def _count(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            assert isinstance(report.longrepr, tuple)
            self.skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        named = [str(argument) for argument in session.config.args]
        finished = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if not self.whole or not finished or named != ["ipc_core.testing.suite"]:
            return
        backend = choice.backend(session.config.getoption("--ipc-backend"))
        outcome = {
            "backend": backend.name,
            "interpreter": interpreter(),
            "system": system(),
            "passed": len(self.passed - self.failed),
            "failed": len(self.failed),
            "skipped": dict(sorted(self.skipped.items())),
            "kit": kit(),
        }
        self.path.write_text(json.dumps(outcome, indent=1) + "\n", "utf-8")


def interpreter() -> str:
    """Return the name and the version of this Python."""
    names = {"cpython": "CPython"}
    name = names.get(sys.implementation.name, sys.implementation.name)
    return f"{name} {platform.python_version()}"


def system() -> str:
    """Return the name and version of the system, as it calls itself: Wine is not Windows."""
    if sys.platform == "win32":
        import ctypes

        wine: Any = getattr(ctypes.WinDLL("ntdll"), "wine_get_version", None)
        if wine is None:
            return f"Windows {platform.version()}"
        wine.restype = ctypes.c_char_p
        return f"Wine {wine().decode()}"
    if sys.platform == "emscripten":
        import pyodide

        return f"Pyodide {pyodide.__version__}"
    if sys.platform == "wasi":
        return "WASI"
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"


def kit() -> str:
    """Return a digest of the kit's files, by which reports of different kits are told apart."""
    folder = Path(ipc_core.testing.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
