"""The default codec against bare C pickle, without any transport."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from interleave import Work, main
from variants import Three

from ipc_core.codecs import PickleCodec
from ipc_core.messages import message
from ipc_core.messages.format import DEFAULT
from ipc_core.plugins import choice

SMALL = {"id": 17, "name": "job", "args": [1, 2, 3], "ok": True}
INSTANCE = Three(1, 2, 3)

Turns = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def timed(turns: Turns, obj: object, count: int) -> float:
    """Return the seconds of processor time to encode and decode an object `count` times."""
    there, back = turns
    started = time.process_time()  # excludes other programs
    for _ in range(count):
        back(there(obj))
    return time.process_time() - started


def bare() -> Turns:
    return pickle.dumps, pickle.loads


def codec() -> Turns:
    coder = PickleCodec().bind(Any, None, None)
    return coder.encode, coder.decode


def whole() -> Turns:
    """Return the two directions of a message: a codec with endpoints' bookkeeping and errors."""
    backend = choice.backend()

    def there(obj: object) -> Any:
        return message.encode_message(DEFAULT, obj)

    def back(encoded: tuple[Any, Sequence[Any]]) -> Any:
        return message.decode_message(DEFAULT, backend, encoded[0], ())

    return there, back


WORKS = [
    Work(name, partial(timed, turns(), obj), partial(timed, bare(), obj), 2000, "pickle", goal)
    for name, turns, obj, goal in (
        ("small dict, codec", codec, SMALL, 1.25),
        ("small dict, message", whole, SMALL, None),
        ("an instance, codec", codec, INSTANCE, None),
    )
]

if __name__ == "__main__":
    main(WORKS)
