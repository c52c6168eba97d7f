"""The place in a message of the object that cannot be pickled, for the text of an error."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 400
"""The most characters of a place; in a longer one the middle is left out."""

_PLAIN = (str, bytes, int, float, bool, type(None))


def describe_path(path: Sequence[object]) -> str:
    """Describe the way to the last of these objects, like `message['jobs'][3].lock`.

    Each object is pickled as a part of the one before. Never raises, and runs no code of the
    objects.
    """
    try:
        text = "message" + "".join(_steps(path))
    except Exception:
        text = "message"
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return text


def _steps(path: Sequence[object]) -> Iterable[str]:
    """Yield the text of each step from a parent to its child.

    Between an object and its attributes or arguments lie the dictionaries and tuples that
    `__reduce__` returned. On the way through these, `owner` is that object; it is None between
    other objects.
    """
    owner: object = None
    for parent, child in itertools.pairwise(path):
        if owner is not None:
            if type(child) in (dict, tuple) and _is_internal(owner, parent, child):
                continue
            yield _part(owner, parent, child)
        elif type(parent) in (dict, list, tuple, set, frozenset):
            yield _item(parent, child)
            continue
        else:
            named = _attribute(parent, child)
            if not named and type(child) in (dict, tuple) and not _holds(parent, child):
                owner = parent
                continue
            yield named or _item(parent, child)
        owner = None


def _is_internal(owner: object, parent: Any, child: object) -> bool:
    """Whether a child is no part of the owner, but one more container on the way to it.

    `parent` is one of the dictionaries and tuples that the owner's `__reduce__` returned.
    """
    if _attribute(owner, child):
        return isinstance(owner, types.FunctionType) and child is owner.__closure__
    if isinstance(owner, types.FunctionType):
        return type(parent) is dict and parent.get("globals") is child
    return type(parent) is tuple and type(child) is dict


def _part(owner: object, parent: Any, child: object) -> str:
    """Return the step from an object to one of its attributes or arguments."""
    if isinstance(owner, types.CellType):
        return ""
    if isinstance(owner, types.FunctionType):
        if parent is owner.__closure__:
            names = owner.__code__.co_freevars
            return f".<closure {names[_index(parent, child)]}>"
        named = _attribute(owner, child)
        if named:
            return named
        if child is owner.__code__:
            return ".__code__"
        if type(parent) is dict:
            return f".<global {_key(parent, child)}>"
    elif type(parent) is dict:
        key = _key(parent, child)
        return f".{key}" if isinstance(key, str) else f"[{_shown(key)}]"
    return _attribute(owner, child) or f".<argument {_index(parent, child)}>"


def _item(parent: Any, child: object) -> str:
    """Return the step from a container to one of its items, or ""."""
    if isinstance(parent, dict):
        for key, value in dict.items(parent):
            if value is child:
                return f"[{_shown(key)}]"
            if key is child:
                return f".<key {_shown(key)}>"
    elif isinstance(parent, (list, tuple)):
        index = _index(parent, child)
        return "" if index is None else f"[{index}]"
    elif isinstance(parent, (set, frozenset)):
        return f".<item {_shown(child)}>"
    return ""


def _holds(parent: Any, child: object) -> bool:
    return isinstance(parent, (dict, list, tuple)) and bool(_item(parent, child))


def _index(parent: Any, child: object) -> Any:
    items = list.__iter__(parent) if isinstance(parent, list) else tuple.__iter__(parent)
    return next((index for index, item in enumerate(items) if item is child), None)


def _key(parent: dict[Any, Any], child: object) -> Any:
    return next((key for key, value in dict.items(parent) if value is child), "?")


def _attribute(owner: object, child: object) -> str:
    """Return `.name` for the attribute that is this object, or ""."""
    if child is type(owner):
        return ".__class__"
    for name, value in _attributes(owner):
        if value is child:
            return f".{name}"
    return ""


def _attributes(owner: Any) -> Iterable[tuple[str, object]]:
    """Yield the names and values of an object's attributes, and of a function's parts."""
    for name in ("__dict__", "__defaults__", "__kwdefaults__", "__annotations__", "__closure__"):
        if name == "__dict__" or isinstance(owner, types.FunctionType):
            names = _raw(owner, name)
            if name != "__dict__":
                yield name, names
            elif isinstance(names, (dict, types.MappingProxyType)):
                yield from names.items()
    for cls in type.__dict__["__mro__"].__get__(type(owner)):
        for name, member in type.__dict__["__dict__"].__get__(cls).items():
            if isinstance(member, types.MemberDescriptorType):
                try:
                    yield name, member.__get__(owner)
                except AttributeError:
                    continue  # this slot is empty


def _raw(owner: Any, name: str) -> Any:
    """Return an attribute without running code of the owner's class, or None."""
    try:
        if isinstance(owner, type):
            return type.__dict__["__dict__"].__get__(owner)
        return object.__getattribute__(owner, name)
    except AttributeError:
        return None


def _shown(key: Any) -> str:
    if type(key) in _PLAIN or (type(key) is tuple and all(type(part) in _PLAIN for part in key)):
        return f"{key!r:.60}"
    return f"{type(key).__module__}.{type(key).__qualname__}"
