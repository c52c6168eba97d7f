"""Run as a script: send objects of its `__main__`, then a module's name, to a server.

The programs that receive cannot import any of it.
"""

from __future__ import annotations

import abc
import collections
import enum
import functools
import sys
import threading
import xml.dom
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import ipc_core
from ipc_core.testing.bag import Bag

T = TypeVar("T")
FACTOR = 10
LOCK = threading.Lock()
count = 0
reports: list[ipc_core.IpcSender[str]] = []


@dataclass
class Order:
    number: int
    items: list[str] = field(default_factory=list)

    def bigger(self) -> Order:
        return Order(self.number + FACTOR, self.items)


@dataclass(frozen=True, slots=True)
class Slotted:
    number: int


@dataclass
class Node:
    value: int
    next: Node | None = None

    @classmethod
    def chain(cls, length: int) -> Node:
        return cls(length, Node.chain(length - 1) if length else None)


class Color(enum.Enum):
    RED = 1
    GREEN = 2

    def shout(self) -> str:
        return f"{self.name}!"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 3


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> int: ...


class Square(Shape):
    __slots__ = ("_side",)

    def __init__(self, side: int) -> None:
        super().__init__()
        self._side = side

    def area(self) -> int:
        return self._side**2


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content


class Meta(type):
    def greet(cls) -> str:
        return f"I am {cls.__name__}"


class WithMeta(metaclass=Meta):
    @property
    def seven(self) -> int:
        return 7

    @staticmethod
    def eight() -> int:
        return 8

    @functools.cached_property
    def nine(self) -> int:
        return 9


class Linked:
    instances: list[Linked] = []  # noqa: RUF012


Linked.instances.append(Linked())


class Failure(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Outer:
    class Inner:
        value = 1


def scaled(number: int) -> int:
    return number * FACTOR


def use_lock() -> bool:
    """Uses `text.lock`, and not the global LOCK."""
    return not hasattr("text", "LOCK")


def is_even(number: int) -> bool:
    return number == 0 or is_odd(number - 1)


def is_odd(number: int) -> bool:
    return number != 0 and is_even(number - 1)


def report(word: str) -> None:
    """Uses an endpoint among the globals."""
    reports[0].send(word)


def increase() -> int:
    global count
    count += 1
    return count


def counted() -> int:
    return count


def name_of_dom() -> str:
    return xml.dom.__name__


@functools.lru_cache
def cached(number: int) -> int:
    return scaled(number)


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(number: int) -> Any:
        return function(number) + 1

    return wrapper


@decorated
def scaled_and_one(number: int) -> int:
    return scaled(number)


def make_local() -> Any:
    factor = 3

    class Local:
        def triple(self, number: int) -> int:
            return number * factor

        def same(self) -> bool:
            return type(self) is Local

    return Local()


def things() -> dict[str, Any]:
    return {
        "order": Order(1, ["a"]),
        "orders": [Order(1), Order(1), Order(2)],
        "slotted": Slotted(4),
        "node": Node.chain(3),
        "color": [Color.RED, Color.RED, {Color.GREEN: Color}],
        "rights": Rights.READ | Rights.WRITE,
        "point": [Point(1), Point],
        "pair": Pair(1, 2),
        "square": [Square(3), Shape],
        "box": [Box("content"), Box],
        "meta": WithMeta(),
        "linked": Linked(),
        "failure": Failure(4),
        "inner": Outer.Inner(),
        "functions": [scaled, use_lock, name_of_dom, cached, scaled_and_one],
        "mutual": is_even,
        "shared": [increase, counted],
        "partial": functools.partial(scaled, 3),
        "bound": Node.chain(5).chain,
        "method": Order(1).bigger,
        "local": make_local(),
        "text": "__main__",
    }


def send_things(name: str) -> None:
    with Bag() as bag:
        to_parent = bag.connect(name)
        to_child, from_parent = bag.channel()
        to_parent.send(to_child)
        for thing in things().items():
            to_parent.send(thing)
        reports.append(to_parent)
        to_parent.send(report)
        came_home = from_parent.recv()
        to_parent.send([type(came_home) is Order, came_home == Order(1, ["a"])])
        try:
            to_parent.send(sys.modules[__name__])
        except ipc_core.EncodeError as error:
            to_parent.send(str(error))


if __name__ == "__main__":
    send_things(sys.argv[1])
