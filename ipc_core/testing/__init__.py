"""The conformance kit: proves that a backend keeps the contract.

Without a test file: `python -m pytest -p ipc_core.testing.plugin --pyargs ipc_core.testing.suite
--ipc-backend NAME`. Or in a test file of your own:

    from ipc_core.testing import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"

with `pytest_plugins = ["ipc_core.testing.plugin"]` in conftest.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipc_core.spi import Capability

if TYPE_CHECKING:
    from ipc_core.testing.marks import requires
    from ipc_core.testing.suite import BackendConformance

__all__ = ["BackendConformance", "Capability", "requires"]


def __getattr__(name: str) -> Any:
    """Import pytest and the tests when they are asked for: a test's child does without them."""
    if name == "BackendConformance":
        from ipc_core.testing.suite import BackendConformance

        return BackendConformance
    if name == "requires":
        from ipc_core.testing.marks import requires

        return requires
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
