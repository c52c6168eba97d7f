"""The pytest plugin of the conformance kit: `-p ipc_core.testing.plugin`, and `--ipc-backend NAME`
or `--ipc-codec NAME`.

It chooses the backend for each test, skips tests of capabilities that it does not claim, fails a
run in which a claimed capability was never tested, limits every test in time, and checks that
descriptors are level before and after.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import ipc_core
from ipc_core import Router, codecs
from ipc_core.plugins import choice
from ipc_core.spi import THREADS, Backend, Capability, Codec, NoBackendError
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.level import descriptors, warm_up
from ipc_core.testing.states import wait_until

pytest.register_assert_rewrite("ipc_core.testing.suite", "ipc_core.testing.codec_suite")

SECONDS_PER_TEST = 60

# Capability -> tests that need it and ran; only filled where the whole suite was collected.
_ran: dict[Capability, int] = {}
_skipped: dict[Capability, list[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ipc-core")
    group.addoption(
        "--ipc-backend", metavar="NAME", help="the backend to prove (default: the chosen one)"
    )
    group.addoption("--ipc-codec", metavar="NAME", help="the codec to prove (default: pickle)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(capability): needs this of the backend")
    config.addinivalue_line("markers", "threads: needs threads, which WebAssembly lacks")
    _ran.clear()
    _skipped.clear()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # pytest-timeout's --timeout gives slow machines more, and takes nothing away.
    seconds = max(SECONDS_PER_TEST, float(config.getoption("timeout", None) or 0))
    for item in items:
        if "backend" in getattr(item, "fixturenames", ()) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(seconds))
        if item.get_closest_marker("threads") and not THREADS:
            item.add_marker(pytest.mark.skip(reason="this platform has no threads"))


@pytest.fixture
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """The backend under test; channels of the test, its threads and children use it too."""
    name = getattr(request.cls, "backend", None) or request.config.getoption("--ipc-backend")
    try:
        found = choice.backend(name)
    except NoBackendError as error:
        pytest.skip(str(error))
    for marker in request.node.iter_markers("requires"):
        for capability in marker.args:
            if capability not in found.capabilities:
                pytest.skip(f"{found.name} does not claim {capability.name}")
            _ran[capability] = _ran.get(capability, 0) + 1
    monkeypatch.setenv(choice.ENVIRONMENT_VARIABLE, found.name)
    ipc_core.set_default_backend(found.name)
    yield found
    ipc_core.set_default_backend(None)


@pytest.fixture
def codec(request: pytest.FixtureRequest, backend: Backend) -> Codec:
    """The codec under test. Fails the test if it cannot be used."""
    name = getattr(request.cls, "codec", None) or request.config.getoption("--ipc-codec")
    return codecs.find(name or codecs.default_codec.name)


@pytest.fixture
def level(backend: Backend) -> Iterator[None]:
    """Fail a test after which more or fewer descriptors are open than before."""
    warm_up(backend)
    before = descriptors()
    yield
    if descriptors() != before:
        gc.collect()  # a collection takes long among all the tests
    if sys.platform == "win32":
        # A thread has handles of its own, which the system closes some time after its end.
        wait_until(lambda: descriptors() <= before, "all handles of the test are closed", 5)
    else:
        assert descriptors() == before, "the test leaked (or closed a stranger's) descriptors"


@pytest.fixture
def bag(level: None) -> Iterator[Bag]:
    """A maker of endpoints that closes them after the test."""
    with Bag() as bag:
        yield bag


@pytest.fixture
def children(level: None) -> Iterator[Children]:
    """A starter of child processes, which ends those that a failed test left."""
    with Children() as children:
        yield children


@pytest.fixture
def messages() -> Any:
    """The module `ipc_core.testing.messages`; skips the test where msgspec is not installed."""
    pytest.importorskip("msgspec")
    return importlib.import_module("ipc_core.testing.messages")


@pytest.fixture
def router(level: None) -> Iterator[Router]:
    """A router that is shut down after the test."""
    with Router() as router:
        yield router


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns a hundred times more often, so that races come out."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Exceptions of threads and of routers' callbacks, collected instead of printed."""
    reports: list[BaseException] = []

    def hook(arguments: threading.ExceptHookArgs) -> None:
        assert arguments.exc_value is not None
        reports.append(arguments.exc_value.with_traceback(None))

    monkeypatch.setattr(threading, "excepthook", hook)
    return reports


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which every test of a claimed capability was skipped."""
    name = session.config.getoption("--ipc-backend", default=None)
    if not name or session.config.option.collectonly or session.testsfailed or not _whole(session):
        return
    try:
        claimed: Any = choice.backend(name).capabilities
    except NoBackendError:
        return
    untested = [
        c.name for c in Capability if c in claimed and c in _wanted(session) and not _ran.get(c)
    ]
    if untested:
        print(f"\n{name} claims {', '.join(map(str, untested))}, but no test of it ran")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _wanted(session: pytest.Session) -> set[Capability]:
    return {
        capability
        for item in session.items
        for marker in item.iter_markers("requires")
        for capability in marker.args
    }


def _whole(session: pytest.Session) -> bool:
    return not (session.config.option.keyword or session.config.option.markexpr)
