"""ipc-core backend: queues inside one process."""

from __future__ import annotations

from ipc_core.spi import Backend, hookimpl


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_inprocess.backend import InprocessBackend

    return InprocessBackend()
