"""`Generic` and its kind, for classes that exist when a child starts.

Importing `typing` takes as long as half of this library. A type checker sees its names here;
what runs are stand-ins, of which a subscript is a `types.GenericAlias`, as of `list[int]`. What
modules need for annotations alone they import in a block `if TYPE_CHECKING`, by whose name type
checkers know it.
"""

from __future__ import annotations

from types import GenericAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, Protocol, TypeVar, overload
else:

    class Generic:
        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    class Protocol:
        __slots__ = ()

    def TypeVar(name, *constraints, **options):  # noqa: N802
        return name

    def overload(function):
        return function


__all__ = ["Generic", "Protocol", "TypeVar", "overload"]
