"""Makers of functions and classes that were sent by value, called by the receiver's unpickler.

Messages refer to these functions by name.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib import import_module
from weakref import WeakKeyDictionary, WeakValueDictionary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Header = tuple[Any, str, tuple[type, ...]]
    """The metaclass, the name and the bases of a class."""


PYTHON = sys.implementation.cache_tag or sys.version
"""The version of Python that compiles code here; the code runs on no other."""

# By its token a class that arrives twice is one class, and one that is sent back is the original.
_tokens: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()
_classes: WeakValueDictionary[bytes, type] = WeakValueDictionary()


def token_of(cls: type) -> bytes:
    """Return the random bytes that tell a class from all others, in any process."""
    token = _tokens.get(cls)
    if token is None:
        import os

        token = _tokens.setdefault(cls, os.urandom(16))
        _classes[token] = cls
    return token


def code(python: str, marshalled: bytes) -> types.CodeType:
    """Make a code object. Raises TypeError for one that another version of Python compiled."""
    if python != PYTHON:
        raise TypeError(f"a function compiled by {python} cannot run on {PYTHON}")
    import marshal

    made: types.CodeType = marshal.loads(marshalled)
    return made


def function(
    code: types.CodeType,
    home: str | dict[str, Any],
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """Make a function that `finish_function` completes.

    `home` is the name of the module whose globals it uses, or the globals that came along.
    """
    if isinstance(home, str):
        names = import_module(home).__dict__
    else:
        names = home
        names.setdefault("__builtins__", __builtins__)
    return types.FunctionType(code, names, name, None, closure)


def finish_function(made: types.FunctionType, state: dict[str, Any]) -> None:
    """Set the globals and attributes, which may refer to the function itself."""
    for module in state.pop("imports", ()):
        import_module(module)
    names = made.__globals__
    for name, value in state.pop("globals", {}).items():
        names.setdefault(name, value)
    made.__dict__.update(state.pop("dict"))
    for name, value in state.items():
        setattr(made, name, value)


def cell() -> types.CellType:
    """Make an empty cell of a closure."""
    return types.CellType()


def fill_cell(made: types.CellType, state: tuple[Any]) -> None:
    """Set the content of a cell, which may refer to the cell itself."""
    (made.cell_contents,) = state


def skeleton(token: bytes, header: Header, namespace: dict[str, Any]) -> type:
    """Make a class without the attributes that may refer to it; `finish_class` sets those."""
    known = _classes.get(token)
    if known is not None:
        return known
    metaclass, name, bases = header
    made = types.new_class(
        name, bases, {"metaclass": metaclass}, lambda into: into.update(namespace)
    )
    return _classes.setdefault(token, made)


def enumeration(
    token: bytes, header: Header, namespace: dict[str, Any], members: dict[str, Any]
) -> type:
    """Make an enumeration, with its members; `finish_class` sets the other attributes."""
    known = _classes.get(token)
    if known is not None:
        return known
    metaclass, name, bases = header
    body = metaclass.__prepare__(name, bases)
    for key, value in (*namespace.items(), *members.items()):
        body[key] = value
    return _classes.setdefault(token, metaclass.__new__(metaclass, name, bases, body))


def finish_class(
    made: type,
    state: tuple[bytes, dict[str, Any], tuple[type, ...], dict[str, dict[str, Any]]],
) -> None:
    """Set the attributes, the registered classes and the attributes of an enum's members."""
    token, attributes, registered, members = state
    if made in _tokens:
        return  # it was finished before
    for name, value in attributes.items():
        setattr(made, name, value)
    for cls in registered:
        made.register(cls)  # type: ignore[attr-defined]  # an abstract base class
    for name, attributes in members.items():
        made.__members__[name].__dict__.update(attributes)  # type: ignore[attr-defined]
    _tokens[made] = token


def cached_property(func: Callable[[Any], Any], name: str | None) -> Any:
    """Make a functools.cached_property."""
    import functools

    made = functools.cached_property(func)
    made.attrname = name
    return made


def lru_cache(func: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """Make an empty functools.lru_cache of a function."""
    import functools

    return functools.lru_cache(**parameters)(func)


def type_variable(name: str, constraints: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Make a typing.TypeVar."""
    import typing

    return typing.TypeVar(name, *constraints, **options)
