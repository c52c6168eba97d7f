"""Child processes for tests, started with subprocess so that they run alike on every system."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_PROGRAM = "import sys; from ipc_core.testing.children import run; run(*sys.argv[1:])"


class Children:
    """A starter of importable modules' functions in processes of their own."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._forked: list[Any] = []

    def start(self, function: Callable[..., None], *args: str) -> subprocess.Popen[bytes]:
        """Run `function(*args)`, a module's top-level function, in a new process."""
        return self._start("-c", _PROGRAM, function.__module__, function.__qualname__, *args)

    def start_script(self, module: ModuleType, *args: str) -> subprocess.Popen[bytes]:
        """Run a module's file as the main program of a new process."""
        assert module.__file__
        return self._start(module.__file__, *args)

    def _start(self, *args: str) -> subprocess.Popen[bytes]:
        # The child finds its modules where this process does.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = subprocess.Popen([sys.executable, *args], stdin=subprocess.DEVNULL, env=environment)
        self._started.append(child)
        return child

    def fork(self, function: Callable[..., object], *args: str) -> Any:
        """Run `function(*args)` in a fork of this process; skips the test where there is none.

        Returns a `multiprocessing.Process`.
        """
        if sys.platform == "win32" or not hasattr(os, "fork"):
            import pytest  # here: children import this module

            pytest.skip("this system has no fork")
        from multiprocessing import get_context

        with warnings.catch_warnings():
            # Python 3.12 warns of threads, which other tests may have left; this child uses none.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = get_context("fork").Process(target=function, args=args)
            child.start()
        self._forked.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for forked in self._forked:
            if error is None:
                forked.join(30)
            forked.kill()
            forked.join()
            forked.close()
        while self._started:
            child = self._started.pop()
            if error is not None:
                child.kill()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise


def run(module: str, function: str, *args: str) -> None:
    """Call a module's function in the child."""
    found: Any = importlib.import_module(module)
    for part in function.split("."):
        found = getattr(found, part)
    found(*args)
