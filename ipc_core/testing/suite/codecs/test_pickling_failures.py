"""Objects that cannot be pickled: the error says where they are, and nothing is sent."""

from __future__ import annotations

import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ipc_core import ClosedError, Empty, EncodeError
from ipc_core.spi import THREADS
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import drops

LOCK = threading.Lock()
TEXT = "cannot pickle '_thread.lock' object"


class Job:
    def __init__(self, lock: object) -> None:
        self.lock = lock


class Slotted:
    __slots__ = ("first", "second")

    def __init__(self, second: object) -> None:
        self.second = second


class Reduced:
    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __reduce__(self) -> tuple[Any, ...]:
        return Reduced, (1, 2, self._inner)


class Restored:
    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __reduce__(self) -> tuple[Any, ...]:
        return object, (), {"state": self._inner}


class Curious:
    """An object whose repr and attributes must not be asked for."""

    def __repr__(self) -> str:
        raise AssertionError("the search for the place ran code of an object")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssertionError(f"the search for the place asked for {name}")


def numbers() -> Iterator[int]:
    yield 1


def closing_over(lock: object) -> Callable[[], object]:
    return lambda: lock


def with_curious(lock: object) -> dict[Any, Any]:
    curious = Curious()
    curious.__dict__["lock"] = lock
    return {Curious(): 1, "it": curious}


PLACES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda lock: lock, ""),
    (lambda lock: {"jobs": [1, 2, 3, Job(lock)]}, "['jobs'][3].lock"),
    (lambda lock: (1, [(lock,)]), "[1][0][0]"),
    (lambda lock: {(1, "a"): {b"k": lock}}, "[(1, 'a')][b'k']"),
    (lambda lock: {Job(lock)}, ".<item {module}.Job>.lock"),
    (lambda lock: {Job(lock): 1}, ".<key {module}.Job>.lock"),
    (lambda lock: Slotted([lock]), ".second[0]"),
    (lambda lock: Reduced({"a": lock}), "._inner['a']"),
    (lambda lock: Restored([lock]), ".state[0]"),
    (lambda lock: OrderedDict(a=lock), "['a']"),
    (lambda lock: [closing_over(lock)], "[0].<closure lock>"),
    (lambda lock: [closing_over([lock])], "[0].<closure lock>[0]"),
    (lambda lock: [lambda value=lock: value], "[0].__defaults__[0]"),
    (lambda lock: [type("Made", (), {"lock": lock})], "[0].lock"),
    (lambda lock: [type("Made", (), {"lock": lock})()], "[0].__class__.lock"),
    (with_curious, "['it'].lock"),
]


class TestPicklingFailures:
    @pytest.mark.parametrize("number", range(len(PLACES)))
    def test_places(self, bag: Bag, number: int) -> None:
        """I95: an EncodeError names the path to the object that cannot be pickled; nothing was
        sent, and no receiver moved."""
        make, place = PLACES[number]
        tx, rx = bag.channel()
        sub_tx, sub_rx = bag.channel()
        with pytest.raises(EncodeError) as caught:
            tx.send(make(LOCK))
        expected = place.replace("{module}", __name__)
        assert str(caught.value) == f"message{expected}: {TEXT}"
        assert isinstance(caught.value.__cause__, TypeError)
        with pytest.raises(EncodeError, match=TEXT):
            tx.send([sub_rx, make(LOCK)])
        sub_tx.send("still here")
        assert sub_rx.recv() == "still here"
        with pytest.raises(Empty):
            rx.try_recv()

    @pytest.mark.parametrize(
        ("make", "text"),
        [
            (numbers, "message: cannot pickle 'generator' object"),
            (lambda: [1, sys._getframe()], r"message\[1\]: cannot pickle 'frame' object"),
            (threading.RLock, "message: cannot pickle '_thread.RLock' object"),
            (lambda: [threading.Condition()], r"message\[0\]._lock: cannot pickle"),
        ],
        ids=["generator", "frame", "rlock", "condition"],
    )
    def test_kinds_that_do_not_travel(self, bag: Bag, make: Callable[[], Any], text: str) -> None:
        """I95: generators, frames and locks, of which a copy would not be the same, say so."""
        tx, rx = bag.channel()
        with pytest.raises(EncodeError, match=text):
            tx.send(make())
        tx.send("next")
        assert rx.recv() == "next"

    def test_a_place_far_down(self, bag: Bag) -> None:
        """I95: the error leaves out the middle of a long path."""
        tx, _ = bag.channel()
        message: Any = LOCK
        for _ in range(60):
            message = {"a key of twenty bytes": [message]}
        with pytest.raises(EncodeError) as caught:
            tx.send(message)
        assert str(caught.value).startswith("message['a key of twenty bytes'][0]")
        assert str(caught.value).endswith(f"[0]: {TEXT}")
        assert len(str(caught.value)) < 600

    def test_a_closed_end_is_no_failure_of_pickling(self, bag: Bag) -> None:
        """I95: a closed end inside something that goes by value is a ClosedError."""
        tx, _ = bag.channel()
        sub_tx, _ = bag.channel()
        sub_tx.close()
        with pytest.raises(ClosedError):
            tx.send(lambda: sub_tx)

    def test_nested_too_deep_by_value(self, bag: Bag) -> None:
        """I95: nesting that the codec cannot follow is an EncodeError, beside a lambda too."""
        if not THREADS:
            pytest.skip("WebAssembly ends the interpreter when any pickle nests too deep")
        tx, rx = bag.channel()
        message: list[Any] = [lambda: 1]
        for _ in range(100_000):
            message = [message]
        with pytest.raises(EncodeError, match=r"recursion|too deep|overflow"):
            tx.send(message)
        while message:  # freeing it all at once would nest as deep
            message = message[0] if isinstance(message[0], list) else []
        tx.send("next")
        assert rx.recv() == "next"

    @drops
    def test_failures_keep_nothing(self, bag: Bag) -> None:
        """I95: once the error is gone, nothing refers to the object that could not be sent."""
        tx, _ = bag.channel()
        inner_tx, inner_rx = bag.channel()
        with pytest.raises(EncodeError):
            tx.send([inner_tx.clone(), LOCK])
        inner_tx.close()
        gc.collect()
        assert not list(inner_rx)
