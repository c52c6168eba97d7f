"""A codec that wraps another one and makes one mistake: the one that FAULT names.

The conformance kit has to notice. Without FAULT it is faithful.
"""

from __future__ import annotations

import os
import pickle
import time
from typing import Any

from ipc_core import codecs
from ipc_core.spi import Attach, Buffer, Redeem

FAULT = os.environ.get("FAULT", "")
BASE = os.environ.get("FAULT_BASE", "msgspec")


class FaultyCodec:
    name = "other" if FAULT == "has another name" else "faulty"
    runs_code = False

    def bind(self, type: Any, attach: Attach, redeem: Redeem) -> Any:
        if FAULT == "raises ValueError for a type" and type is not Any:
            raise ValueError("no")
        return FaultyCoder(type, attach, redeem)


class FaultyCoder:
    def __init__(self, type: Any, attach: Attach, redeem: Redeem) -> None:
        def attach_or_not(obj: object, declared: Any = None) -> Any:
            if FAULT == "does not attach":
                return 0
            reference = attach(obj, declared)
            return 0 if FAULT == "forgets the slot" else reference

        def redeem_or_not(declared: Any, reference: Any) -> Any:
            if FAULT == "redeems nothing":
                return declared
            return redeem(declared, reference)

        attaching: Any = attach_or_not
        attaching.start_over = attach.start_over
        inner = codecs.find(BASE).bind(type, attaching, redeem_or_not)
        self._inner: Any = inner
        self._shared = bytearray()
        self._last: Any = None
        self._sent: dict[bytes, Any] = {}

    def encode(self, obj: Any) -> Any:
        if FAULT == "hides what it cannot encode":
            try:
                return self._inner.encode(obj)
            except Exception:
                return self._inner.encode(None)
        if FAULT == "pickles what it does not know":
            try:
                return self._inner.encode(obj)
            except Exception:
                return b"\xc1" + pickle.dumps(obj)
        data = self._inner.encode(obj)
        if FAULT == "changes what it encodes" and isinstance(obj, dict):
            obj["changed"] = True
        if FAULT == "reuses its buffer":
            self._shared[:] = data
            return self._shared
        if FAULT == "is for one thread":
            self._last = data
            time.sleep(0)
            return self._last
        if FAULT == "returns the object itself":
            self._sent[bytes(data)] = obj
        return data

    def decode(self, data: Buffer) -> Any:
        if FAULT == "takes bytes only" and not isinstance(data, bytes):
            raise TypeError("bytes are needed")
        if FAULT == "returns the object itself":
            return self._sent[bytes(data)]
        if FAULT == "unpickles what looks like a pickle" and data[:1] == b"\x80":
            return pickle.loads(data)
        if FAULT == "pickles what it does not know" and data[:1] == b"\xc1":
            return pickle.loads(data[1:])
        if FAULT == "exits on garbage":
            try:
                return self._inner.decode(data)
            except ValueError:
                raise SystemExit(1) from None
        if FAULT == "remembers the last message":
            try:
                self._last = self._inner.decode(data)
            except Exception:
                pass
            return self._last
        obj = self._inner.decode(data)
        if FAULT == "makes tuples of lists" and isinstance(obj, list):
            return tuple(obj)
        if FAULT == "rounds" and isinstance(obj, float):
            return round(obj)
        return obj


codec = FaultyCodec()
