"""Typed objects at random: each arrives equal."""

from __future__ import annotations

from typing import Any, Optional, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipc_core import DecodeError
from ipc_core.spi import Backend
from ipc_core.testing.bag import Bag

LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(),
    bytes: st.binary(),
    bool: st.booleans(),
    type(None): st.none(),
}
RUN = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


_CONTAINERS: Any = (list, dict, tuple)


def types() -> st.SearchStrategy[Any]:
    list_, dict_, tuple_ = _CONTAINERS

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            inner.map(lambda item: list_[item]),
            inner.map(lambda item: dict_[str, item]),
            st.tuples(inner, inner).map(lambda items: tuple_[items]),
            inner.map(lambda item: Optional[item]),
        )

    return st.recursive(st.sampled_from([*LEAVES]), around, max_leaves=5)


def values(type_: Any) -> st.SearchStrategy[Any]:
    """The objects of one of these types."""
    arguments = [values(argument) for argument in get_args(type_)]
    origin = get_origin(type_)
    if origin is list:
        return st.lists(*arguments, max_size=4)
    if origin is dict:
        return st.dictionaries(*arguments, max_size=4)
    if origin is tuple:
        return st.tuples(*arguments)
    if origin is Union:
        return st.one_of(*arguments)
    return LEAVES[type_]


def orders(m: Any) -> st.SearchStrategy[Any]:
    floats, texts = LEAVES[float], LEAVES[str]
    points = st.builds(m.Point, floats, floats)
    shapes = st.builds(m.Circle, points, floats) | st.builds(m.Square, points, floats)
    return st.builds(
        m.Order,
        st.lists(st.builds(m.Item, texts, floats), max_size=5),
        st.none(),
        st.none() | st.builds(m.Note, texts, st.lists(LEAVES[int], max_size=3)),
        st.none() | st.fixed_dictionaries({"street": texts, "number": LEAVES[int]}),
        st.dictionaries(texts, shapes, max_size=3),
    )


class TestTypedValues:
    def test_values_at_random(self, bag: Bag, messages: Any) -> None:
        """B1: objects of random types arrive as they were."""

        @RUN
        @given(data=st.data())
        def send(data: st.DataObject) -> None:
            type_ = data.draw(types())
            sent = data.draw(st.lists(values(type_), min_size=1, max_size=3))
            with Bag() as ends:
                tx, rx = ends.channel(type_, codec=messages.CODEC)
                for value in sent:
                    tx.send(value)
                for value in sent:
                    received = rx.recv()
                    assert received == value
                    assert type(received) is type(value)

        send()

    def test_structs_at_random(self, bag: Bag, messages: Any) -> None:
        """B1: Structs with everything in them arrive as they were."""
        tx, rx = bag.channel(messages.Order, codec=messages.CODEC)

        @RUN
        @given(order=orders(messages))
        def send(order: Any) -> None:
            tx.send(order)
            assert rx.recv() == order

        send()

    def test_senders_at_random_places(self, bag: Bag, messages: Any) -> None:
        """I31: each sender in a tree arrives in its place."""
        m = messages
        outer_tx, outer_rx = bag.channel(m.Tree, codec=m.CODEC)
        shapes: Any = st.recursive(
            st.tuples(st.booleans(), st.just([])),
            lambda inner: st.tuples(st.booleans(), st.lists(inner, max_size=3)),
            max_leaves=12,
        )

        def plant(shape: Any, ends: Bag, found: list[Any]) -> Any:
            has_reply, branches = shape
            reply = None
            if has_reply:
                reply, receiver = ends.channel(m.Tree, codec=m.CODEC)
                found.append(receiver)
            return m.Tree([plant(branch, ends, found) for branch in branches], reply)

        def visit(tree: Any, ends: Bag, found: list[Any]) -> None:
            if tree.reply is not None:
                ends.keep(tree.reply).send(m.Tree([m.Tree([])] * len(found)))
                found.append(tree)
            for branch in tree.branches:
                visit(branch, ends, found)

        @RUN
        @given(shape=shapes)
        def send(shape: Any) -> None:
            with Bag() as ends:
                receivers: list[Any] = []
                outer_tx.send(plant(shape, ends, receivers))
                got = outer_rx.recv()
                replied: list[Any] = []
                visit(got, ends, replied)
                assert len(replied) == len(receivers)
                for number, receiver in enumerate(receivers):
                    assert len(receiver.recv().branches) == number

        send()

    def test_bytes_at_random(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I39: any bytes of a peer become an object of the type or a DecodeError."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.Order, codec=m.CODEC)
        changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)

        @RUN
        @given(order=orders(m), changes=changes, noise=st.binary(max_size=64))
        def forge(order: Any, changes: Any, noise: bytes) -> None:
            good: Any = rx._format.to_payload(order)
            changed = bytearray(good)
            for place, value in changes:
                changed[place % len(changed)] = value
            for payload in (bytes(changed), m.TAG + noise):
                tx.send(payload)
                try:
                    assert type(rx.recv()) is m.Order
                except DecodeError:
                    pass
            tx.send(good)
            assert rx.recv() == order

        forge()

    def test_a_wrong_type_anywhere(self, bag: Bag, messages: Any) -> None:
        """I39: an item of another type than the others is found, and its place told."""

        @RUN
        @given(before=st.lists(st.integers(0, 9), max_size=20), wrong=st.text() | st.floats())
        def send(before: list[int], wrong: object) -> None:
            with Bag() as ends:
                tx, rx = ends.channel(list[int], codec=messages.CODEC)
                tx.send([*before, wrong, 1])
                with pytest.raises(DecodeError, match=rf"\$\[{len(before)}\]"):
                    rx.recv()

        send()
