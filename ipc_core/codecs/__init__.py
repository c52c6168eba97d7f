"""Codecs, which turn objects into bytes and back: the default one, and others by their names."""

from __future__ import annotations

from ipc_core.codecs.pickled import PickleCodec
from ipc_core.codecs.tags import is_name
from ipc_core.plugins import entry_points
from ipc_core.spi import CODECS_GROUP, Codec
from ipc_core.spi.errors import NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


default_codec: Codec = PickleCodec()

_found: dict[str, Codec] = {default_codec.name: default_codec}


def find(name: str) -> Codec:
    """Return the codec of that name. Raises NotSupportedError, with the cause, if there is none."""
    codec = _found.get(name)
    if codec is None:
        codec = _found.setdefault(name, _load(name))
    return codec


def _load(name: str) -> Codec:
    """Import a codec by its entry point."""
    reference = entry_points.entry(name, CODECS_GROUP)
    if reference is None:
        known = ", ".join(sorted({*_found, *entry_points.names(CODECS_GROUP)}))
        raise NotSupportedError(f"there is no codec {name!r}; installed: {known}")
    try:
        return checked(entry_points.resolve(reference), name)
    except NotSupportedError:
        raise
    except Exception as error:
        raise NotSupportedError(
            f"the codec {name!r} cannot be used: {type(error).__name__}: {error}"
        ) from error


def checked(found: Any, name: str) -> Codec:
    """Return the object that an entry point led to.

    Raises NotSupportedError if it is not a codec, or calls itself by another name.
    """
    if not (
        callable(getattr(found, "bind", None))
        and isinstance(getattr(found, "runs_code", None), bool)
        and is_name(getattr(found, "name", None))
    ):
        raise NotSupportedError(f"{found!r} is not an ipc_core.spi.Codec")
    if found.name != name:
        raise NotSupportedError(f"it is registered as {name!r} but calls itself {found.name!r}")
    codec: Codec = found
    return codec


__all__ = ["PickleCodec", "checked", "default_codec", "find"]
