"""The pytest plugin of the conformance kit: `-p ipc_core.testing.plugin`, and `--ipc-backend NAME`
or `--ipc-codec NAME`.

It chooses the backend for each test, skips tests of capabilities that it does not claim, fails a
run in which a claimed capability was never tested, limits every test in time, and checks that each
test leaves no descriptor, thread or file. A backend or codec that is named and cannot be used
fails the run.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import ipc_core
from ipc_core import Router, codecs
from ipc_core.plugins import choice
from ipc_core.spi import THREADS, Backend, Codec, NoBackendError, NotSupportedError
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.leftovers import (
    Leftovers,
    private_temporary_folder,
    remove_private_folder,
)
from ipc_core.testing.level import warm_up
from ipc_core.testing.order import leave_out_the_slow, put_in_order
from ipc_core.testing.refusals import no_more_descriptors
from ipc_core.testing.summary import Summary, named_backend

pytest.register_assert_rewrite("ipc_core.testing.suite", "ipc_core.testing.codec_suite")

SECONDS_PER_TEST = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ipc-core")
    group.addoption(
        "--ipc-backend", metavar="NAME", help="the backend to prove (default: the chosen one)"
    )
    group.addoption("--ipc-codec", metavar="NAME", help="the codec to prove (default: pickle)")
    group.addoption(
        "--ipc-quick", action="store_true", help="only the transport's own tests, without slow ones"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(capability): needs this of the backend")
    config.addinivalue_line("markers", "threads: needs threads, which WebAssembly lacks")
    config.addinivalue_line("markers", "ipc_slow: left out by --ipc-quick")
    try:
        if name := config.getoption("--ipc-backend"):
            with private_temporary_folder():
                choice.backend(name)
        if name := config.getoption("--ipc-codec"):
            codecs.find(name)
    except (NoBackendError, NotSupportedError) as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(Summary(), "ipc-core summary")


def pytest_unconfigure() -> None:
    remove_private_folder()


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
    put_in_order(items)
    if config.getoption("--ipc-quick"):
        leave_out_the_slow(config, items)


@pytest.fixture
def private_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary folder for the kit alone, so that any file in it was left by a test."""
    tmp_path_factory.getbasetemp()  # elsewhere: a test's own files are no leftovers
    with private_temporary_folder():
        yield


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, private_folder: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """The backend under test; channels of the test, its threads and children use it too."""
    try:
        found = choice.backend(named_backend(request.node))
    except NoBackendError as error:
        pytest.fail(str(error), pytrace=False)
    for marker in request.node.iter_markers("requires"):
        for capability in marker.args:
            if capability not in found.capabilities:
                pytest.skip(f"{found.name} does not claim {capability.name}")
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
    """Fail a test after which other descriptors, threads or files exist than before."""
    warm_up(backend)
    before = Leftovers()
    yield
    before.check()


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


@pytest.fixture(params=["no descriptors", "refuse()"])
def refused(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[object]]:
    """A maker of `with` blocks in which the system refuses: to open descriptors, or as the method
    `refuse` of the class that runs the kit decides. Skips the test without such a method.
    """
    if request.param == "no descriptors":
        return no_more_descriptors
    if not hasattr(request.instance, "refuse"):
        pytest.skip("the class that runs the kit has no method refuse()")
    refuse: Callable[[], AbstractContextManager[object]] = request.instance.refuse
    return refuse


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
