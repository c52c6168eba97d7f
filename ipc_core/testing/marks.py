"""The marks by which a test states its needs of a backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from ipc_core.spi import Capability

C = TypeVar("C", bound=type)

drops = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""The mark of tests that drop endpoints without `close()`, of which `-X dev` warns."""

slow = pytest.mark.ipc_slow
"""For tests of the transport that `--ipc-quick` leaves out."""


def requires(*capabilities: Capability) -> pytest.MarkDecorator:
    """Skip a test, with the reason, on a backend that does not claim these capabilities."""
    return pytest.mark.requires(*capabilities)


def each_test(mark: pytest.MarkDecorator) -> Callable[[C], C]:
    """Mark every test of a class. A mark on the class would spread to all of BackendConformance."""

    def decorate(cls: C) -> C:
        for name, test in vars(cls).items():
            if name.startswith("test"):
                mark(test)
        return cls

    return decorate
