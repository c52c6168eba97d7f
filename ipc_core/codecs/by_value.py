"""Reductions by value of functions and classes that the receiver cannot import.

These are lambdas, nested functions, local classes, and all of `__main__`, which at the receiver is
another program. Importable objects are still pickled by name, as C pickle does it.

An object that refers to itself, such as a recursive function, is pickled in two parts: a bare one
that its maker in `rebuild` returns, and a state with all that may refer back, set afterwards.
"""

from __future__ import annotations

import _thread
import enum
import functools
import marshal
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeVar

from ipc_core.codecs import rebuild
from ipc_core.codecs.buffers import REDUCERS

Reduction = Any
"""A value that `__reduce__` may return, or NotImplemented."""

# Attributes that a class gets anew when it is made.
_MADE_ANEW = ("__dict__", "__weakref__", "_abc_impl", "__static_attributes__",
              "__firstlineno__")  # fmt: skip
_ENUM_MADE_ANEW = ("_generate_next_value_", "_member_names_", "_member_map_", "_member_type_",
                   "_value2member_map_", "_unhashable_values_", "_unhashable_values_map_",
                   "_hashable_values_", "_new_member_", "_use_args_", "_value_repr_", "__new__",
                   "_flag_mask_", "_singles_mask_", "_all_bits_", "_boundary_", "_inverted_",
                   "__new_member__")  # fmt: skip
_MODULE_ATTRIBUTES = ("__builtins__", "__loader__", "__spec__", "__cached__")


class ByValue:
    """A mixin for picklers, written in C or in Python."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # By the id of a module's globals: these, and the dictionary that stands for them in the
        # message, by which functions of one module share their globals at the receiver too. Both
        # are kept alive for their id().
        self._homes: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}

    def reducer_override(self, obj: Any) -> Reduction:
        """See pickle.Pickler.reducer_override."""
        reduce = _REDUCERS.get(type(obj))
        if reduce is not None:
            return reduce(obj)
        if isinstance(obj, types.FunctionType):
            return NotImplemented if _is_importable(obj) else self._reduce_function(obj)
        if issubclass(type(obj), type):  # isinstance holds for list[int] too
            return NotImplemented if _is_importable(obj) else _reduce_class(obj)
        sentinel = _sentinels().get(id(obj))
        return NotImplemented if sentinel is None else sentinel

    def _reduce_function(self, obj: types.FunctionType) -> Reduction:
        """Reduce a function to its code, its closure, its attributes and the globals it uses.

        At the receiver it uses the globals of its module, or, if that is no importable module,
        those of the message.
        """
        needed = dict(_needed(obj))
        state: dict[str, Any] = {
            "dict": obj.__dict__,
            "__qualname__": obj.__qualname__,
            "__module__": obj.__module__,
            "__doc__": obj.__doc__,
            "__defaults__": obj.__defaults__,
            "__kwdefaults__": obj.__kwdefaults__,
            "__annotations__": obj.__annotations__,
        }
        imports = list(_submodules(obj, needed))
        if imports:
            state["imports"] = imports
        home: Any = obj.__globals__.get("__name__")
        module = None if home == "__main__" else sys.modules.get(home)
        if module is None or module.__dict__ is not obj.__globals__:
            _, home = self._homes.setdefault(
                id(obj.__globals__), (obj.__globals__, {"__name__": home})
            )
            state["globals"] = needed
        args = obj.__code__, home, obj.__name__, obj.__closure__
        return rebuild.function, args, state, None, None, rebuild.finish_function


class CPickler(ByValue, pickle.Pickler):
    """A pickler with these reductions, at almost the speed of C pickle."""


def _is_importable(obj: Any) -> bool:
    """Whether the receiver finds this object, or its own, under its name."""
    name = obj.__module__
    if name == "__main__" or name not in sys.modules:
        return False
    found: Any = sys.modules[name]
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def _needed(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals that a function uses, by name."""
    names = function.__globals__
    return ((name, names[name]) for name in _global_names(function.__code__) if name in names)


@lru_cache(maxsize=1024)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """Return the names of the globals that some code, and the code inside it, uses."""
    import dis

    found = {
        instruction.argval: None
        for instruction in dis.get_instructions(code)
        if "GLOBAL" in instruction.opname or instruction.opname == "LOAD_NAME"
    }
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= dict.fromkeys(_global_names(inner))
    return tuple(found)


def _submodules(function: types.FunctionType, needed: dict[str, Any]) -> Iterator[str]:
    """Yield the modules like `os.path` that a function reaches as attributes of another."""
    packages = [v.__name__ for v in needed.values() if isinstance(v, types.ModuleType)]
    for package in packages:
        for attribute in function.__code__.co_names:
            if f"{package}.{attribute}" in sys.modules:
                yield f"{package}.{attribute}"


_TYPES = {value: name for name, value in vars(types).items() if type(value) is type}
"""The types of the interpreter that have names only in the module `types`."""


def _reduce_class(cls: type) -> Reduction:
    """Reduce a class to its token, its header and its attributes, of an enum also its members."""
    if cls.__module__ == "builtins":
        return (getattr, (types, _TYPES[cls])) if cls in _TYPES else NotImplemented
    attributes = {k: v for k, v in vars(cls).items() if k not in _MADE_ANEW}
    namespace = {
        name: attributes.pop(name)
        for name in ("__module__", "__qualname__", "__slots__", "__doc__", "__orig_bases__")
        if name in attributes
    }
    namespace["__qualname__"] = cls.__qualname__
    slots = namespace.get("__slots__", ())
    for slot in (slots,) if isinstance(slots, str) else slots:
        attributes.pop(slot, None)
        attributes.pop(f"_{cls.__name__.lstrip('_')}{slot}", None)
    token = rebuild.token_of(cls)
    args: tuple[Any, ...] = token, (type(cls), cls.__name__, cls.__bases__), namespace
    make: Callable[..., type] = rebuild.skeleton
    members = {}
    if issubclass(cls, enum.Enum):
        for name in (*_ENUM_MADE_ANEW, *cls.__members__):
            attributes.pop(name, None)
        make = rebuild.enumeration
        args += ({name: member._value_ for name, member in cls.__members__.items()},)
        members = {name: vars(member) for name, member in cls.__members__.items()}
    state = token, attributes, _registered(cls), members
    return make, args, state, None, None, rebuild.finish_class


def _registered(cls: type) -> tuple[type, ...]:
    """Return the classes that were registered with an abstract base class."""
    if "_abc_impl" not in vars(cls):
        return ()
    from _abc import _get_dump  # type: ignore[import-not-found]

    references, *_ = _get_dump(cls)
    found = (reference() for reference in references)
    return tuple(inner for inner in found if inner is not None)


def _reduce_module(module: types.ModuleType) -> Reduction:
    """Reduce a module to its name, or by value if it is not the one that is imported under it."""
    name = module.__name__
    if name == "__main__":
        raise TypeError("cannot pickle the module '__main__': the receiver's is another program")
    if sys.modules.get(name) is module:
        return import_module, (name,)
    state = {k: v for k, v in vars(module).items() if k not in _MODULE_ATTRIBUTES}
    return types.ModuleType, (name,), state


def _reduce_cell(cell: types.CellType) -> Reduction:
    try:
        state = (cell.cell_contents,)
    except ValueError:  # an empty cell
        return rebuild.cell, ()
    return rebuild.cell, (), state, None, None, rebuild.fill_cell


def _reduce_type_variable(variable: Any) -> Reduction:
    if _is_in_module(variable, variable.__name__):
        return str(variable.__name__)
    options = {
        "bound": variable.__bound__,
        "covariant": variable.__covariant__,
        "contravariant": variable.__contravariant__,
    }
    return rebuild.type_variable, (variable.__name__, variable.__constraints__, options)


def _is_in_module(obj: Any, name: str) -> bool:
    """Whether an object is found under a name in its module, which is not `__main__`."""
    module = obj.__module__
    return module != "__main__" and getattr(sys.modules.get(module), name, None) is obj


def _reduce_lru_cache(cache: Any) -> Reduction:
    if _is_importable(cache):
        return NotImplemented
    return rebuild.lru_cache, (cache.__wrapped__, cache.cache_parameters())


def _refuse_lock(obj: object) -> Reduction:
    """Refuse a lock with a TypeError: its copy would guard nothing."""
    raise TypeError(f"cannot pickle '{type(obj).__module__}.{type(obj).__qualname__}' object")


@lru_cache(maxsize=1)
def _sentinels_of(dataclasses: types.ModuleType) -> dict[int, str]:
    """Return the sentinels of the given module `dataclasses`, as id -> name."""
    names = ("_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR", "MISSING", "KW_ONLY",
             "_HAS_DEFAULT_FACTORY")  # fmt: skip
    return {id(getattr(dataclasses, name)): name for name in names if hasattr(dataclasses, name)}


def _sentinels() -> dict[int, str]:
    """Return the objects that the module dataclasses knows by their identity, as id -> name."""
    module = sys.modules.get("dataclasses")
    return {} if module is None else _sentinels_of(module)


_REDUCERS: dict[type, Callable[[Any], Reduction]] = {
    **REDUCERS,
    types.CodeType: lambda code: (rebuild.code, (rebuild.PYTHON, marshal.dumps(code))),
    types.CellType: _reduce_cell,
    types.ModuleType: _reduce_module,
    types.MappingProxyType: lambda proxy: (types.MappingProxyType, (dict(proxy),)),
    classmethod: lambda method: (classmethod, (method.__func__,)),
    staticmethod: lambda method: (staticmethod, (method.__func__,)),
    property: lambda p: (property, (p.fget, p.fset, p.fdel, p.__doc__)),
    functools.cached_property: lambda p: (rebuild.cached_property, (p.func, p.attrname)),
    type(lru_cache(_is_importable)): _reduce_lru_cache,
    TypeVar: _reduce_type_variable,
    _thread.LockType: _refuse_lock,
    _thread.RLock: _refuse_lock,
}
