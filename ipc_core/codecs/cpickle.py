"""The part of `pickle` that is written in C. The module around it imports `re`, which takes more
time than all that a first message needs of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickle import PickleBuffer, Pickler, PicklingError, UnpicklingError, loads
else:
    try:
        from _pickle import PickleBuffer, Pickler, PicklingError, UnpicklingError, loads
    except ImportError:  # not CPython
        from pickle import PickleBuffer, Pickler, PicklingError, UnpicklingError, loads

__all__ = ["PickleBuffer", "Pickler", "PicklingError", "UnpicklingError", "loads"]
