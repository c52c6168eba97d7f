"""Objects that C pickle alone does not carry, and the properties that any object keeps."""

from __future__ import annotations

import collections
import enum
import functools
import json
import types
from array import array
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipc_core.spi import Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import BOUND

THRESHOLD = 16384
"""The bytes above which buffers lie beside the pickle."""


@dataclass
class Holder:
    """A class that both sides can import."""

    value: Any


class Reduced:
    """An object pickled by an attribute of its module."""

    def __reduce__(self) -> str:
        return "REDUCED"


REDUCED = Reduced()


_sizes = st.sampled_from([0, 1, 7, 1000, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 70_001])
_bytes = st.builds(lambda size, byte: bytes([byte]) * size, _sizes, st.integers(0, 255))
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | _bytes
    | st.builds(bytearray, _bytes)
    | st.builds(lambda data: memoryview(data), _bytes)  # noqa: PLW0108  a class to mypy
    | st.builds(lambda data: memoryview(bytearray(data)), _bytes)
    | st.builds(lambda numbers: array("d", numbers), st.lists(st.floats(allow_nan=False)))
    | st.builds(lambda size: array("H", range(size % 65536)), _sizes)
    | st.sampled_from(["__main__", b"\x8c\x08__main__\x94", b"\x00\x80\x93", json, max])
)  # fmt: skip
_objects = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(Holder, inner)
        | st.frozensets(st.integers() | st.text(max_size=5), max_size=4)
    ),
    max_leaves=8,
)


def kinds(obj: Any) -> Any:
    """The types of all parts of an object."""
    if isinstance(obj, (list, tuple)):
        return type(obj), [kinds(item) for item in obj]
    if isinstance(obj, dict):
        return type(obj), [(kinds(key), kinds(value)) for key, value in obj.items()]
    if isinstance(obj, Holder):
        return type(obj), kinds(obj.value)
    if isinstance(obj, memoryview):
        return type(obj), obj.format, obj.shape, obj.readonly
    return type(obj), getattr(obj, "typecode", None)


class TestPickling:
    @settings(deadline=None, max_examples=60, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(message=_objects)
    def test_any_object(self, backend: Backend, message: Any) -> None:
        """B1, I86: objects arrive equal, of the same types, with buffers of all sizes in them."""
        with Bag() as bag:
            tx, rx = bag.channel()
            tx.send(message)
            tx.send([message, lambda: message])
            received = rx.recv()
            assert received == message
            assert kinds(received) == kinds(message)
            again, function = rx.recv()
            assert again == function() == message
            assert kinds(function()) == kinds(message)

    def test_functions(self, bag: Bag) -> None:
        """B1: lambdas, closures, nested functions, partials and bound methods work as before."""
        tx, rx = bag.channel()
        offset = 7

        def fibonacci(n: int, *, first: int = 1) -> int:
            """Calls itself."""
            return first if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

        tx.send([
            lambda x, y=offset: x + y,
            fibonacci,
            functools.partial(fibonacci, 5),
            Holder([1]).value.append,
            functools.lru_cache(maxsize=2)(lambda x: x * offset),
            lambda: json.dumps([offset]),
            [lambda: offset for _ in range(2)],
        ])  # fmt: skip
        plus, fib, partial, append, cached, dumps, many = rx.recv()
        assert (plus(1), fib(6), fib(1, first=3), partial()) == (8, 13, 3, 8)
        assert (fib.__doc__, fib.__name__, append(1)) == ("Calls itself.", "fibonacci", None)
        assert (cached(2), cached.cache_info().maxsize, dumps()) == (14, 2, "[7]")
        assert many[0].__closure__[0] is many[1].__closure__[0]

    def test_functions_of_a_module_keep_its_globals(self, bag: Bag) -> None:
        """B1: a lambda of a module that the receiver can import uses the module there."""
        tx, rx = bag.channel()
        tx.send(lambda: REDUCED)
        assert rx.recv()() is REDUCED

    def test_classes(self, bag: Bag) -> None:
        """B1: local classes, enumerations and exceptions arrive with their instances; one that
        comes home is the one that was sent."""

        class Base:
            def __init__(self) -> None:
                self.made_by = type(self).__name__

        class Local(Base):
            slots = ("a",)

            def __init__(self) -> None:
                super().__init__()
                self.again = Local

        class Color(enum.Enum):
            RED = "r"

        tx, rx = bag.channel()
        tx.send([Local(), Color.RED, Color, Local])
        local, red, color, cls = rx.recv()
        assert local.made_by == cls().made_by == "Local"
        assert (type(local), local.again, cls) == (Local, Local, Local)
        assert red is Color.RED
        assert color is Color

    def test_modules(self, bag: Bag) -> None:
        """B1: a module that can be imported is the receiver's own; another goes by value."""
        tx, rx = bag.channel()
        made = types.ModuleType("made")
        made.__dict__["answer"] = 42
        tx.send([json, made, functools])
        mine, theirs, other = rx.recv()
        assert mine is json
        assert other is functools
        assert (theirs.answer, theirs is made) == (42, False)

    def test_identity(self, bag: Bag) -> None:
        """B1: one object at several places of a message is one object there, also in a cycle."""
        tx, rx = bag.channel()
        sub_tx, _ = bag.channel()
        shared: list[Any] = [1]
        view = memoryview(bytearray(2 * THRESHOLD))
        for extra in (None, lambda: shared):
            cycle: dict[str, Any] = {
                "lists": [shared, shared], "senders": (sub_tx, [sub_tx]), "views": [view, view],
                "data": [view.obj, view.obj], "extra": extra,
            }  # fmt: skip
            cycle["self"] = cycle
            tx.send(cycle)
            received = rx.recv()
            assert received["self"] is received
            for one, other in (received["lists"], received["views"], received["data"]):
                assert one is other
            sender, (same,) = received["senders"]
            assert bag.keep(sender) is same
            if extra is not None:
                assert received["extra"]() is received["lists"][0]

    def test_endpoints_in_closures(self, bag: Bag) -> None:
        """B1, I95: senders, receivers and ends for bytes arrive alive in objects sent by value."""
        tx, rx = bag.channel()
        (one_tx, one_rx), (two_tx, two_rx), (bytes_tx, bytes_rx) = (
            bag.channel(), bag.channel(), bag.bytes_channel(),
        )  # fmt: skip

        class Local:
            def __init__(self) -> None:
                self.receiver = two_rx
                self.sender = bytes_tx

        tx.send([lambda: one_tx, functools.partial(max, bytes_tx), Local(), collections.Counter])
        function, partial, local, _ = rx.recv()
        bag.keep(function()).send("one")
        assert one_rx.recv() == "one"
        two_tx.send("two")
        assert bag.keep(local.receiver).recv() == "two"
        assert partial.args == (local.sender,)
        bag.keep(local.sender).send(b"bytes")
        assert bytes_rx.recv() == b"bytes"
        two_rx.close()
        local.receiver.close()
        assert two_tx.wait_closed(BOUND)

    @requires(Capability.SHARED_MEMORY)
    def test_shared_memory_in_a_closure(self, bag: Bag) -> None:
        """B1: shared memory arrives in a closure, and stays shared."""
        tx, rx = bag.channel()
        region = bag.region(b"region")
        tx.send(lambda: region)
        bag.keep(rx.recv()()).buffer_mut()[:1] = b"R"
        assert bytes(region) == b"Region"

    def test_names_of_main_in_data(self, bag: Bag) -> None:
        """B1: data that looks like a reference to `__main__` is data, at any size."""
        tx, rx = bag.channel()
        for size in (0, 10_000, 200_000):
            message = {"__main__": "__main__", "more": [b"\x8c\x08__main__\x94" * 3, bytes(size)]}
            tx.send(message)
            assert rx.recv() == message
