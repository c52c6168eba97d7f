"""The part of `pickle` that is written in C, imported without the module `pickle`.

That module imports `re`, which takes longer than everything that a first message needs.
"""

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
