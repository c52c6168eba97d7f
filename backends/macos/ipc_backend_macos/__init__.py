"""ipc-core backend: Mach ports. Experimental: it was never run on a Mac."""

from __future__ import annotations

from ipc_core.spi import Backend, hookimpl


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_macos.backend import MacosBackend

    return MacosBackend()
