"""Every installed backend, as importlib.metadata and pluggy see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pluggy

from ipc_core import discovery
from ipc_core.errors import NoBackendError
from ipc_core.spi import HOOK, PROJECT, Backend


@dataclass(frozen=True)
class Installed:
    """A registered plugin: where it comes from, its backend, and why it cannot be used."""

    name: str
    distribution: str
    version: str
    backend: Backend | None
    reason: str | None


def installed() -> list[Installed]:
    """Every registered plugin, also those that fail. Imports them all."""
    return [
        _inspect(point) for point in sorted(discovery.entry_points(), key=lambda point: point.name)
    ]


def _inspect(point: Any) -> Installed:
    distribution, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
    try:
        backend = discovery.checked(_ask_plugin(point.load()), point.name)
        reason = backend.unavailable_reason()
    except Exception as error:
        backend, reason = None, str(error) if isinstance(error, NoBackendError) else repr(error)
    return Installed(point.name, distribution, version, backend, reason)


def _ask_plugin(plugin: object) -> object:
    """Call the hook as pluggy does, so that whatever pluggy accepts is accepted."""

    class HookSpec:
        @pluggy.HookspecMarker(PROJECT)
        def ipc_core_backend(self) -> Backend:  # type: ignore[empty-body]
            """Return the plugin's backend."""

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpec)
    manager.register(plugin)
    manager.check_pending()
    answers: list[object] = manager.hook.ipc_core_backend()
    if len(answers) != 1:
        raise NoBackendError(f"the plugin answers {HOOK} {len(answers)} times")
    return answers[0]
