"""The default codec: C pickle, and dill for what C pickle cannot carry faithfully.

Unpickling runs code, so this codec is for processes that trust each other.
"""

from __future__ import annotations

import pickle
from typing import Any

from ipc_core.spi import Buffer

PROTOCOL = 5

# How protocol 4 and later write the module name of a class or function, and memoize it. C pickle
# refers to things of __main__ by name, but the receiver's __main__ is another program.
_FROM_MAIN = b"\x8c\x08__main__\x94"

# What C pickle raises for lambdas, closures, local classes and other things without a name.
_GIVES_UP = (pickle.PicklingError, AttributeError, TypeError)


class PickleCodec:
    """Anything that dill can pickle, at C pickle's speed where C pickle will do."""

    name = "pickle"

    def encode(self, obj: object, embedded: list[Any]) -> bytes:
        try:
            data = pickle.dumps(obj, PROTOCOL)
        except _GIVES_UP:
            pass
        else:
            if _FROM_MAIN not in data:
                return data
        import dill

        embedded.clear()
        data = dill.dumps(obj, PROTOCOL, byref=False, recurse=True)
        assert isinstance(data, bytes)
        return data

    def decode(self, data: Buffer) -> Any:
        return pickle.loads(data)
