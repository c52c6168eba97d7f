"""The names of `typing`, for modules that a child imports as it starts.

Importing `typing` takes as long as half of this library, so nothing here does before it must.
Annotations are strings: they name `t.Any` or `t.Self` after `import ipc_core._typing as t`, and
`typing` is imported when somebody evaluates them, as `typing.get_type_hints` does. `Generic`,
`Protocol`, `TypeVar` and `overload` are needed while classes are made; for those there are
stand-ins, and `Standin[T]` is a `types.GenericAlias`, as `list[int]` is.

A type checker sees the names of `typing` itself. `Later(module)` stands for a module that is
imported when one of its names is first needed, in code or in an annotation.
"""

from __future__ import annotations

from types import GenericAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        BinaryIO,
        ClassVar,
        Generic,
        NoReturn,
        Protocol,
        TypeVar,
        overload,
    )

    from typing_extensions import Self
else:
    try:
        from _typing import TypeVar as _TypeVar  # CPython 3.12 and later have it in C
    except ImportError:

        class _TypeVar:
            def __init__(self, name):
                self.__name__ = name

            def __repr__(self):
                return f"~{self.__name__}"

            def __call__(self):  # before 3.11 `typing` demands that a type can be called
                raise TypeError(f"{self!r} is a type variable")

    def TypeVar(name, *constraints, **options):  # noqa: N802
        return _TypeVar(name)  # a bound would import `typing`

    class Generic:
        __slots__ = ()

        def __class_getitem__(cls, item):
            arguments = item if type(item) is tuple else (item,)
            if cls is not Generic and len(arguments) != (expected := _parameter_count(cls)):
                raise TypeError(
                    f"{cls.__name__} takes {expected} type argument{'s' * (expected != 1)}, "
                    f"not {len(arguments)}"
                )
            return GenericAlias(cls, item)

    class Protocol:
        __slots__ = ()

    def overload(function):
        return function

    class Later:
        def __init__(self, module):
            self._module = module

        def __getattr__(self, name):
            import importlib

            return getattr(importlib.import_module(self._module), name)

    def _parameter_count(cls):
        """Return the number of type variables in the bases that a class was declared with."""
        bases = vars(cls).get("__orig_bases__", ())
        arguments = [each for base in bases for each in getattr(base, "__args__", ())]
        return len({each for each in arguments if isinstance(each, _TypeVar)})

    def __getattr__(name):
        if name.startswith("__"):  # asked for by importlib, inspect and others
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import typing

        if name == "Self" and not hasattr(typing, "Self"):  # before 3.11
            return typing.Any
        return getattr(typing, name)


__all__ = [
    "Any",
    "BinaryIO",
    "ClassVar",
    "Generic",
    "NoReturn",
    "Protocol",
    "Self",
    "TypeVar",
    "overload",
]
