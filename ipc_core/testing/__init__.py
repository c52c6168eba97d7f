"""The conformance kit: proves that a backend keeps the contract.

Without a test file: `python -m pytest -p ipc_core.testing.plugin --pyargs ipc_core.testing.suite
--ipc-backend NAME`. Or in a test file of your own:

    from ipc_core.testing import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"

with `pytest_plugins = ["ipc_core.testing.plugin"]` in conftest.py.
"""

from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("ipc_core.testing.suite")

from ipc_core.spi import Capability  # noqa: E402
from ipc_core.testing.marks import requires  # noqa: E402

if TYPE_CHECKING:
    from ipc_core.testing.suite import BackendConformance

__all__ = ["BackendConformance", "Capability", "requires"]


def __getattr__(name: str) -> Any:
    """The tests are imported when they are asked for: the child processes of tests have no use for
    them."""
    if name == "BackendConformance":
        from ipc_core.testing.suite import BackendConformance

        return BackendConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
