"""Tagged unions in Python: a class for each variant, told apart by `match`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import Any


@dataclass
class Nothing:
    pass


@dataclass
class One:
    a: int


@dataclass
class Two:
    a: int
    b: int


@dataclass
class Three:
    a: int
    b: int
    c: int


@dataclass
class Text:
    text: str


@dataclass
class Many:
    items: list[int]


@dataclass
class Wrapped:
    inner: Any


class OtherOne(One):
    pass


class OtherTwo(Two):
    pass


def _medium(number: int) -> Any:
    made = make_dataclass(f"Medium{number}", ["a"], namespace={"__module__": __name__})
    made.__module__ = __name__
    globals()[made.__name__] = made
    return made


MEDIUM = [_medium(number) for number in range(27)]


def small(rng: random.Random) -> Any:
    a, b, c = (rng.getrandbits(32) for _ in range(3))
    variants: list[Callable[[], Any]] = [
        Nothing,
        lambda: One(a),
        lambda: OtherOne(a),
        lambda: Two(a, b),
        lambda: OtherTwo(a, b),
        lambda: Three(a, b, c),
        lambda: Text(f"{rng.getrandbits(128):036x}"),
    ]
    return rng.choice(variants)()


def medium(rng: random.Random) -> Any:
    return rng.choice(MEDIUM)(rng.getrandbits(32))


def fractured(rng: random.Random) -> Any:
    size = rng.choice((None, 3, 10, 1, 3))
    return Nothing() if size is None else Many([rng.getrandbits(32) for _ in range(size)])


def nested(rng: random.Random) -> Any:
    make = rng.choice((small, medium, fractured, lambda _: Nothing(), lambda _: Wrapped(None)))
    return Wrapped(make(rng))
