"""The conformance kit: proves that a backend, or a codec, keeps the contract.

Without a test file: `python -m pytest -p ipc_core.testing.plugin --pyargs ipc_core.testing.suite
--ipc-backend NAME`. Or in a test file of your own:

    from ipc_core.testing import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"

with `pytest_plugins = ["ipc_core.testing.plugin"]` in conftest.py. Likewise for a codec, with
`ipc_core.testing.codec_suite`, `--ipc-codec NAME`, `CodecConformance` and `codec = "mine"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipc_core.spi import Capability

if TYPE_CHECKING:
    from ipc_core.testing.codec_suite import CodecConformance
    from ipc_core.testing.marks import requires
    from ipc_core.testing.suite.conformance import BackendConformance

__all__ = ["BackendConformance", "Capability", "CodecConformance", "requires"]


def __getattr__(name: str) -> Any:
    """Import pytest and the tests when they are asked for: a test's child does without them."""
    if name == "BackendConformance":
        from ipc_core.testing.suite.conformance import BackendConformance

        return BackendConformance
    if name == "CodecConformance":
        from ipc_core.testing.codec_suite import CodecConformance

        return CodecConformance
    if name == "requires":
        from ipc_core.testing.marks import requires

        return requires
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
