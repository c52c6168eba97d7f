"""The endpoints and regions that a type for msgspec declares.

msgspec accepts every class and leaves those that it does not know to a hook, which is called when
a message arrives. Here they are found when the channel is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec.inspect

from ipc_core.spi import is_attachable


def endpoints(type: Any) -> list[Any]:
    """Return the classes of endpoints and regions that a message of a type may hold.

    The types that those carry are checked too. Raises the error of msgspec for a type that it
    cannot describe, TypeError for one with classes that it does not know.
    """
    found = _declared(type)
    looked_at = [type]
    todo = [*found]
    while todo:
        for carried in get_args(todo.pop()):
            if carried not in looked_at:
                looked_at.append(carried)
                todo += _declared(carried)
    return found


def _declared(type: Any) -> list[Any]:
    """Return the classes of endpoints and regions in a type, but not in the types they carry."""
    _refuse_unknown(type)
    found = []
    seen: list[Any] = []
    todo = [type]
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.append(each)
        if is_attachable(each):
            found.append(each)
        else:
            todo += _inside(each)
    return found


def _inside(type: Any) -> Iterator[Any]:
    """Yield the types of which a type is made, one level down."""
    origin = get_origin(type)
    if origin is Literal:
        return
    arguments = get_args(type)
    yield from arguments[:1] if origin is Annotated else arguments
    for wrapped in ("__supertype__", "__value__"):  # NewType, and the `type` statement
        if hasattr(type, wrapped):
            yield getattr(type, wrapped)
    cls = origin or type
    if hasattr(cls, "__struct_fields__"):
        yield from (field.type for field in msgspec.structs.fields(type))
    elif hasattr(cls, "__annotations__"):
        filled = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
        for hint in get_type_hints(cls, include_extras=True).values():
            yield _fill(hint, filled)


def _fill(hint: Any, filled: dict[Any, Any]) -> Any:
    """Return a field's type in a generic class, with the known arguments filled in."""
    if isinstance(hint, TypeVar):
        return filled.get(hint, hint)
    open_ones = getattr(hint, "__parameters__", ())
    return hint[tuple(filled.get(one, one) for one in open_ones)] if open_ones else hint


def _refuse_unknown(type: Any) -> None:
    """Raise TypeError for a type with a class that neither msgspec nor we can carry."""
    todo = [msgspec.inspect.type_info(type)]
    seen: list[msgspec.inspect.Type] = []
    while todo:
        part = todo.pop()
        if any(part is other for other in seen):
            continue
        seen.append(part)
        if isinstance(part, msgspec.inspect.CustomType) and not is_attachable(part.cls):
            raise TypeError(f"msgspec does not know the parts of {part.cls!r}")
        todo += _parts(part)


def _parts(part: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """Yield the descriptions of types inside a description, one level down."""
    for name in part.__struct_fields__:
        value = getattr(part, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, msgspec.inspect.Field):
                yield each.type
            elif isinstance(each, msgspec.inspect.Type):
                yield each
