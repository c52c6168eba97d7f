"""The entry points of backends and codecs, read on two routes that agree.

A child must start quickly, and importing `importlib.metadata` takes several times as long as
starting Python. So one backend is looked up by scanning `entry_points.txt` files; lists and
explanations come from importlib.metadata and pluggy (`ipc_core.cli.installed`).
"""

from __future__ import annotations

import importlib
import os
import sys

import ipc_core._typing as t
from ipc_core.spi import BACKENDS_GROUP, HOOK, SPI_VERSION, Backend
from ipc_core.spi.errors import NoBackendError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_references: dict[tuple[str, str], str] = {}


def entry(name: str, group: str = BACKENDS_GROUP) -> str | None:
    """Return the object reference, `module` or `module:attribute`, registered under `name`.

    Returns None if there is none.
    """
    key = group, name
    reference = _references.get(key) or _find(name, group)
    if reference:
        _references[key] = reference
    return reference


def _find(name: str, group: str) -> str | None:
    # Only importlib.metadata finds those in eggs and zip files, and behind import hooks.
    return _scan(name, group) or next(
        (point.value for point in points(group) if point.name == name), None
    )


def _scan(name: str, group: str) -> str | None:
    """Look for an entry point in the folders of `sys.path`, without importlib.metadata."""
    for folder in sys.path:
        for text in _entry_point_files(folder or ".", name):
            section = text.partition(f"[{group}]")[2].partition("\n[")[0]
            for line in section.splitlines():
                key, equals, value = line.partition("=")
                if equals and key.strip() == name:
                    return value.strip()
    return None


def names(group: str = BACKENDS_GROUP) -> list[str]:
    """Return every registered name of a group, sorted."""
    return sorted({point.name for point in points(group)})


def resolve(reference: str) -> t.Any:
    """Import the object that a reference names."""
    module, _, attributes = reference.partition(":")
    found: t.Any = importlib.import_module(module)
    for attribute in attributes.split(".") if attributes else ():
        found = getattr(found, attribute)
    return found


def load(name: str) -> Backend:
    """Import the plugin registered under `name` and return its backend.

    Raises NoBackendError, with the cause, when there is none or it is not a backend.
    """
    reference = entry(name)
    if reference is None:
        raise NoBackendError(f"it is not installed; try: pip install ipc-backend-{name}")
    try:
        return checked(getattr(resolve(reference), HOOK)(), name)
    except NoBackendError:
        raise
    except Exception as error:
        raise NoBackendError(f"{type(error).__name__}: {error}") from error


def checked(found: object, name: str) -> Backend:
    """Return the object that a plugin's hook returned.

    Raises NoBackendError if it is not a backend of this SPI, or calls itself by another name.
    """
    version = getattr(found, "spi_version", None)
    if version != SPI_VERSION:
        raise NoBackendError(f"it speaks SPI version {version}, this ipc-core speaks {SPI_VERSION}")
    if not isinstance(found, Backend):
        raise NoBackendError(f"{HOOK}() returned {found!r}, which is not an ipc_core.spi.Backend")
    if found.name != name:
        raise NoBackendError(f"it is registered as {name!r} but calls itself {found.name!r}")
    return found


def _entry_point_files(folder: str, likely: str) -> Iterator[str]:
    """Yield the texts of a folder, first those of distributions with `likely` in their names."""
    try:
        with os.scandir(folder) as entries:
            paths = [e.path for e in entries if e.name.endswith(".dist-info")]
    except OSError:
        return
    paths.sort(key=lambda path: likely not in path)
    for path in paths:
        try:
            with open(os.path.join(path, "entry_points.txt"), encoding="utf-8") as file:
                yield file.read()
        except OSError:
            continue


def points(group: str = BACKENDS_GROUP) -> t.Any:
    """Return every entry point of a group, as importlib.metadata finds them."""
    if sys.version_info >= (3, 12):
        from importlib import metadata
    else:
        import importlib_metadata as metadata
    return metadata.entry_points(group=group)
