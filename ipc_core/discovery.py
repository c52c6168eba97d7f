"""The entry points of backends, read on two routes that agree.

Starting a child must be quick, and `importlib.metadata` costs several times what Python itself
does. So one backend is looked up by scanning `entry_points.txt` files; everything that lists or
explains goes through importlib.metadata and pluggy.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ipc_core.errors import NoBackendError
from ipc_core.spi import BACKENDS_GROUP, HOOK, PROJECT, SPI_VERSION, Backend

if TYPE_CHECKING:
    from collections.abc import Iterator


class Installed(NamedTuple):
    """A registered plugin: where it comes from, and the backend or why there is none."""

    name: str
    distribution: str
    version: str
    backend: Backend | None
    reason: str | None


_references: dict[str, str] = {}


def entry(name: str) -> str | None:
    """The object reference, `module` or `module:attribute`, registered under `name`."""
    reference = _references.get(name) or _find(name)
    if reference:
        _references[name] = reference
    return reference


def _find(name: str) -> str | None:
    # Eggs, zip files and import hooks are for importlib.metadata to find.
    return _scan(name) or next((p.value for p in _entry_points() if p.name == name), None)


def _scan(name: str) -> str | None:
    for folder in sys.path:
        for text in _entry_point_files(folder or "."):
            section = text.partition(f"[{BACKENDS_GROUP}]")[2].partition("\n[")[0]
            for line in section.splitlines():
                key, equals, value = line.partition("=")
                if equals and key.strip() == name:
                    return value.strip()
    return None


def names() -> list[str]:
    """Every registered name."""
    return sorted({point.name for point in _entry_points()})


def load(name: str) -> Backend:
    """Import the plugin registered under `name` and return its backend.

    Raises NoBackendError, with the cause, when there is none or it is not a backend.
    """
    reference = entry(name)
    if reference is None:
        raise NoBackendError(f"it is not installed; try: pip install ipc-backend-{name}")
    try:
        module, _, attribute = reference.partition(":")
        plugin = importlib.import_module(module)
        if attribute:
            plugin = getattr(plugin, attribute)
        return _checked(getattr(plugin, HOOK)(), name)
    except NoBackendError:
        raise
    except Exception as error:
        raise NoBackendError(f"{type(error).__name__}: {error}") from error


def installed() -> list[Installed]:
    """Every registered plugin, also those that fail. Imports them all."""
    return [_inspect(point) for point in sorted(_entry_points(), key=lambda point: point.name)]


def _inspect(point: Any) -> Installed:
    distribution, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
    try:
        backend = _checked(_ask_plugin(point.load()), point.name)
        reason = backend.unavailable_reason()
    except Exception as error:
        backend, reason = None, str(error) if isinstance(error, NoBackendError) else repr(error)
    return Installed(point.name, distribution, version, backend, reason)


def _ask_plugin(plugin: object) -> object:
    """Call the hook as pluggy does, so that whatever pluggy accepts is accepted."""
    import pluggy

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


def _checked(found: object, name: str) -> Backend:
    version = getattr(found, "spi_version", None)
    if version != SPI_VERSION:
        raise NoBackendError(f"it speaks SPI version {version}, this ipc-core speaks {SPI_VERSION}")
    if not isinstance(found, Backend):
        raise NoBackendError(f"{HOOK}() returned {found!r}, which is not an ipc_core.spi.Backend")
    if found.name != name:
        raise NoBackendError(f"it is registered as {name!r} but calls itself {found.name!r}")
    return found


def _entry_point_files(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            paths = [e.path for e in entries if e.name.endswith(".dist-info")]
    except OSError:
        return
    for path in paths:
        try:
            with open(os.path.join(path, "entry_points.txt"), encoding="utf-8") as file:
                yield file.read()
        except OSError:
            continue


def _entry_points() -> Any:
    if sys.version_info >= (3, 12):
        from importlib.metadata import entry_points
    else:
        from importlib_metadata import entry_points
    return entry_points(group=BACKENDS_GROUP)
