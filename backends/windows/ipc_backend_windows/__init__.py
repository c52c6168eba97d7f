"""ipc-core backend: file mappings hold messages, named pipes tell when, handles are duplicated."""

from __future__ import annotations

from ipc_core.spi import Backend, hookimpl


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_windows.backend import WindowsBackend

    return WindowsBackend()
