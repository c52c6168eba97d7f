"""The program inside both guests: pytest, with the arguments of the host's command line."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

# Provide the names that pytest, Hypothesis and dill look for and WASI does not have.
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = "/tmp/hypothesis"
if not hasattr(os, "getuid"):
    os.getuid = lambda: 0

import pytest


class Guest:
    """Fits pytest to a system without threads and signals."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, item: Any, settings: Any) -> bool:
        """Take pytest-timeout's place, which needs a thread or a signal: the host has a limit."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: Any) -> bool:
        return True

    def pytest_collection_finish(self) -> None:
        """Spare each test's collection of garbage a look at all that pytest holds."""
        gc.collect()
        gc.freeze()


def main(arguments: list[str]) -> int:
    sys.dont_write_bytecode = True
    os.chdir("/project")
    sys.path.append("/project")  # for tools.kit_report; the packages come from wheels
    options = ["-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=sys"]
    return int(pytest.main([*options, *arguments], plugins=[Guest()]))
