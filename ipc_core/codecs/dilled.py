"""A pickler of dill, for objects that neither C pickle nor our own reductions can carry.

It is written in Python, so it knows the path to the object at which it fails.
"""

from __future__ import annotations

import pickle
from typing import Any

import dill

from ipc_core.codecs.by_value import ByValue

_Stock: Any = pickle._Pickler  # the one written in Python, dill's base too


class DillPickler(ByValue, dill.Pickler):  # type: ignore[misc]
    """A pickler with dill's reductions and ours.

    `path` is the chain of objects that are being pickled, each inside the one before.
    """

    def __init__(self, file: Any, protocol: int, buffer_callback: Any) -> None:
        super().__init__(file, protocol, buffer_callback=buffer_callback, byref=False)
        self.path: list[object] = []
        # A copy, which has the types that users registered, with the stock `save_dict`: dill's own
        # takes a dictionary that equals the namespace of a module for that namespace.
        self.dispatch = type(dill.Pickler.dispatch)(dill.Pickler.dispatch)
        self.dispatch[dict] = _Stock.save_dict

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Save an object without dill's handling of NumPy, which copies arrays."""
        self.path.append(obj)
        _Stock.save(self, obj, save_persistent_id)
        self.path.pop()
