"""Large bytes and other runs of memory: own memory, or views that live as long as they are used."""

from __future__ import annotations

import gc
from array import array
from pickle import PickleBuffer
from typing import Any

import pytest

from ipc_core import EncodeError
from ipc_core.testing.bag import Bag
from ipc_core.testing.payloads import MIB, pattern

SIZES = (0, 1, 16_383, 16_384, 16_385, 100_000, 3 * MIB)


class Region:
    """An object pickled as a buffer, like the arrays of other libraries."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: int) -> tuple[Any, ...]:  # type: ignore[override]
        return Region, (PickleBuffer(self.memory),)


class TestPicklingBuffers:
    def test_buffers_of_all_sizes(self, bag: Bag) -> None:
        """I86: bytes, bytearrays, views and arrays of each size arrive, of their own type."""
        tx, rx = bag.channel()
        for size in SIZES:
            data = pattern(size)
            message = [data, bytearray(data), memoryview(data), memoryview(bytearray(data)),
                       array("B", data), Region(bytearray(data))]  # fmt: skip
            tx.send(message)
            received = rx.recv()
            assert received[:5] == message[:5], size
            assert [type(item) for item in received] == [type(item) for item in message]
            assert [received[2].readonly, received[3].readonly] == [True, False]
            assert bytes(received[5].memory) == data

    def test_what_arrives_is_its_own(self, bag: Bag) -> None:
        """I86: a change of a received buffer changes neither the original nor another part."""
        tx, rx = bag.channel()
        for size in (100, 3 * MIB):
            sent = [bytearray(size), memoryview(bytearray(size)), array("B", bytes(size)),
                    Region(bytearray(size))]  # fmt: skip
            tx.send(sent)
            tx.send(sent)
            first, second = rx.recv(), rx.recv()
            for index in range(4):
                (first[index].memory if index == 3 else first[index])[0] = 1
            assert [memory_of(item)[0] for item in first] == [1, 1, 1, 1]
            assert [memory_of(item)[0] for item in (*sent, *second)] == [0] * 8

    def test_own_memory_grows(self, bag: Bag) -> None:
        """I86: bytearrays and arrays can be made longer where they arrive, and where they were."""
        tx, rx = bag.channel()
        message = [bytearray(MIB), array("I", bytes(MIB))]
        tx.send(message)
        data, numbers = rx.recv()
        for grows in (data, numbers, *message):
            grows.extend(b"\1\2\3\4")
        assert (len(data), len(numbers)) == (MIB + 4, MIB // numbers.itemsize + 4)

    @pytest.mark.parametrize("size", [100, 2 * MIB])
    def test_views_outlive_everything(self, bag: Bag, size: int) -> None:
        """I86: a view is valid when message, receiver and channel are gone and others follow."""
        tx, rx = bag.channel()
        data = pattern(size)
        tx.send({"view": memoryview(bytearray(data)), "other": bytes(size)})
        view = rx.recv()["view"]
        gc.collect()
        for _ in range(6):  # reuse any memory that was freed
            tx.send(memoryview(bytearray(size)))
            assert rx.recv()[-1] == 0
        tx.close()
        rx.close()
        gc.collect()
        assert view == data
        view[0] = 255
        assert view[0] == 255

    def test_shapes_and_formats(self, bag: Bag) -> None:
        """I86: a view keeps its format and its shape; one that is not contiguous is copied."""
        tx, rx = bag.channel()
        for length in (24, 24 * 4096):
            flat = memoryview(bytearray(pattern(length)))
            for view in (
                flat.cast("I"),
                flat.cast("b", (2, length // 2)),
                flat.cast("d", (length // 24, 3)),
                flat.cast("c"),
                flat[::2],
                flat[::-1],
                flat.toreadonly()[1::3],
                flat[:0],
                memoryview(array("d")),
                memoryview(bytes(8)).cast("d", ()),
            ):
                tx.send(view)
                received = rx.recv()
                assert (received.format, received.shape, received.readonly) == (
                    view.format, view.shape, view.readonly,
                )  # fmt: skip
                assert received == view
                assert received.contiguous

    def test_views_that_cannot_be_remade(self, bag: Bag) -> None:
        """I95: a view whose format memoryview.cast does not know is an EncodeError that says so."""
        ctypes: Any = pytest.importorskip("ctypes")
        tx, rx = bag.channel()

        fields = {"_fields_": [("x", ctypes.c_int), ("y", ctypes.c_double)]}
        pair: Any = type("Pair", (ctypes.Structure,), fields)
        with pytest.raises(EncodeError, match=r"message\[1\].*memoryview of format"):
            tx.send([1, memoryview((pair * 2)())])
        tx.send("next")
        assert rx.recv() == "next"


def memory_of(obj: Any) -> Any:
    return obj.memory if isinstance(obj, Region) else obj
