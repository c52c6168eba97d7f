"""dill, for what neither C pickle nor our own reductions can carry.

Its pickler is of Python, so it knows where it is when it fails.
"""

from __future__ import annotations

import pickle
from typing import Any

import dill

from ipc_core.codecs.by_value import ByValue

_Stock: Any = pickle._Pickler  # of Python, dill's base too


class DillPickler(ByValue, dill.Pickler):  # type: ignore[misc]
    """`path` is the chain of objects, each inside the one before, that is being pickled."""

    def __init__(self, file: Any, protocol: int, buffer_callback: Any) -> None:
        super().__init__(file, protocol, buffer_callback=buffer_callback, byref=False)
        self.path: list[object] = []
        # A copy with what users registered. dill's own takes dictionaries that equal the
        # namespace of a module for that.
        self.dispatch = type(dill.Pickler.dispatch)(dill.Pickler.dispatch)
        self.dispatch[dict] = _Stock.save_dict

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Without dill's handling of NumPy, which copies arrays."""
        self.path.append(obj)
        _Stock.save(self, obj, save_persistent_id)
        self.path.pop()
