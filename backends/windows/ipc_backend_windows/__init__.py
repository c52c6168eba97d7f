"""The ipc-core backend for Windows: file mappings for messages, named pipes, duplicated handles."""

from __future__ import annotations

from ipc_core.spi import Backend, hookimpl


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_windows.backend import WindowsBackend

    return WindowsBackend()
