"""The words at the end of a run: the claims that were tested, and packages that were missing."""

from __future__ import annotations

import inspect
import re
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator

import pytest

from ipc_core.plugins import choice
from ipc_core.spi import Capability, NoBackendError

_SUITE = "ipc_core.testing.suite"
_MISSING = re.compile(r"(?:could not import '|No module named ')(\w+)|(\w+) is missing$")


class Summary:
    """A pytest plugin that holds each backend to its claims.

    A run in which a claimed capability was never tested, or in which nothing passed, fails.
    """

    def __init__(self) -> None:
        self._needs: dict[str, tuple[str, set[Capability]]] = {}
        self._tested: dict[str, set[Capability]] = {}
        self._missing: dict[str, set[str]] = {}
        self._outcomes: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if is_of_the_kit(item):
                self._needs[item.nodeid] = _backend_of(item), set(_needed(item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            for package in _packages(reason):
                self._missing.setdefault(package, set()).add(report.nodeid)
        if report.when == "call" and report.nodeid in self._needs:
            self._outcomes[report.outcome] += 1
            if not report.skipped:
                backend, needs = self._needs[report.nodeid]
                self._tested.setdefault(backend, set()).update(needs)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show the rule that a failed test holds the backend to."""
        report = yield
        if report.failed and report.when == "call" and item.nodeid in self._needs:
            rule = inspect.getdoc(item.obj)  # type: ignore[attr-defined]
            if rule:
                report.sections.append(("contract", rule))
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.testsfailed or session.config.option.collectonly or not self._needs:
            return
        if any(self._complaints(session.config)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        if config.option.collectonly:
            return
        for backend in sorted({backend for backend, _ in self._needs.values()}):
            claimed = _claimed(backend)
            tested = self._tested.get(backend, set())
            terminalreporter.section(f"conformance of {backend}")
            terminalreporter.write_line(
                f"claimed and tested: {_listed(c for c in claimed if c in tested)}"
            )
            terminalreporter.write_line(
                f"claimed, not tested: {_listed(c for c in claimed if c not in tested)}"
            )
        if self._missing:
            count = len(set().union(*self._missing.values()))
            terminalreporter.write_line(
                f"not installed: {', '.join(sorted(self._missing))} ({count} tests skipped)"
            )
        elif self._needs:
            terminalreporter.write_line("not installed: nothing that a test needs")
        if not terminalreporter.stats.get("failed") and not terminalreporter.stats.get("error"):
            for complaint in self._complaints(config):
                terminalreporter.write_line(complaint, red=True)

    def _complaints(self, config: pytest.Config) -> Iterator[str]:
        """Reasons why a run without a failed test is none that proves anything."""
        if self._needs and not self._outcomes["passed"]:
            yield "no test of the kit ran"
        if config.option.keyword or config.option.markexpr or config.getoption("--ipc-quick"):
            return
        for backend in sorted({backend for backend, _ in self._needs.values()}):
            wanted = {c for name, needs in self._needs.values() if name == backend for c in needs}
            tested = self._tested.get(backend, set())
            untested = [c for c in _claimed(backend) if c in wanted - tested]
            if untested:
                yield f"{backend} claims {_listed(untested)}, but no test of it ran"


def is_of_the_kit(item: pytest.Item) -> bool:
    """Return whether this is a test of the suite for backends, in any class that collected it."""
    cls = getattr(item, "cls", None)
    return cls is not None and any(_SUITE in base.__module__ for base in cls.__mro__)


def named_backend(item: pytest.Item) -> str | None:
    """The backend that the item's class or the command line names."""
    name: str | None = getattr(getattr(item, "cls", None), "backend", None)
    return name or item.config.getoption("--ipc-backend")


def _backend_of(item: pytest.Item) -> str:
    try:
        return named_backend(item) or choice.chosen()[0]
    except NoBackendError:
        return "none"


def _needed(item: pytest.Item) -> Iterator[Capability]:
    for marker in item.iter_markers("requires"):
        yield from marker.args


def _claimed(backend: str) -> list[Capability]:
    try:
        capabilities = choice.backend(backend).capabilities
    except NoBackendError:
        return []
    return [capability for capability in Capability if capability in capabilities]


def _listed(capabilities: Iterable[Capability]) -> str:
    return ", ".join(str(capability.name) for capability in capabilities) or "none"


def _packages(reason: str) -> Iterator[str]:
    """The packages, from elsewhere than the standard library, whose lack this reason tells."""
    found = _MISSING.search(reason)
    if found:
        package = found[1] or found[2]
        if package.lstrip("_") not in sys.stdlib_module_names:
            yield package
