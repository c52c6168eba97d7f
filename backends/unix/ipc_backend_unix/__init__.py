"""ipc-core backend: unix sockets carry messages and descriptors, memfds carry large payloads."""

from __future__ import annotations

from ipc_core.spi import Backend, hookimpl


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_unix.backend import UnixBackend

    return UnixBackend()
