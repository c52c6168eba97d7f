"""Every installed backend and codec, as importlib.metadata and pluggy see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pluggy

from ipc_core import codecs
from ipc_core.plugins import entry_points
from ipc_core.spi import CODECS_GROUP, HOOK, PROJECT, Backend, Codec
from ipc_core.spi.errors import EncodeError, NoBackendError, NotSupportedError


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
        _inspect(point) for point in sorted(entry_points.points(), key=lambda point: point.name)
    ]


@dataclass(frozen=True)
class InstalledCodec:
    """A registered codec: where it comes from, and why it cannot be used."""

    name: str
    distribution: str
    version: str
    codec: Codec | None
    reason: str | None


def installed_codecs() -> list[InstalledCodec]:
    """Every registered codec, also those that fail. Imports them all."""
    points = entry_points.points(CODECS_GROUP)
    return [_inspect_codec(point) for point in sorted(points, key=lambda point: point.name)]


def _inspect_codec(point: Any) -> InstalledCodec:
    codec: Codec | None = None
    reason = None
    try:
        codec = codecs.checked(point.load(), point.name)
        codec.bind(Any, _Nothing(), _Nothing())
    except Exception as error:
        reason = str(error) if isinstance(error, NotSupportedError) else repr(error)
    return InstalledCodec(point.name, *_origin(point), codec, reason)


class _Nothing:
    """The place of `attach` and `redeem` for a coder that is only looked at."""

    def __call__(self, *_: object) -> Any:
        raise EncodeError("this coder is only looked at")

    def start_over(self) -> None:
        pass


def _origin(point: Any) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("?", "?")


def _inspect(point: Any) -> Installed:
    try:
        backend = entry_points.checked(_ask_plugin(point.load()), point.name)
        reason = backend.unavailable_reason()
    except Exception as error:
        backend, reason = None, str(error) if isinstance(error, NoBackendError) else repr(error)
    return Installed(point.name, *_origin(point), backend, reason)


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
