"""ipc-core backend: TCP connections on the loopback interface."""

from __future__ import annotations

from ipc_core.spi import Backend, hookimpl


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_tcp.backend import TcpBackend

    return TcpBackend()
