"""NumPy arrays, where NumPy is installed."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from ipc_core.testing.bag import Bag

COUNT = 50_000


def arrays(np: Any) -> dict[str, Any]:
    matrix = np.arange(COUNT, dtype="f8").reshape(250, -1)
    record = np.dtype([("name", "S5"), ("at", "<i4"), ("values", "f4", (3,))])
    read_only = np.arange(COUNT)
    read_only.flags.writeable = False
    return {
        "small": np.arange(10),
        "large": matrix,
        "fortran": np.asfortranarray(matrix),
        "transposed": matrix.T,
        "strided": matrix[::2, ::3],
        "reversed": matrix[::-1],
        "structured": np.zeros(COUNT, record),
        "record": np.zeros(COUNT, record).view(np.recarray),
        "read-only": read_only,
        "empty": np.zeros((0, 7)),
        "scalar": np.array(3.5),
        "number": np.float32(2.5),
        "objects": np.array([{"a": 1}, None, "text"] * 10, dtype=object),
        "dates": np.arange("2000-01-01", "2150-01-01", dtype="M8[D]"),
        "times": np.arange(COUNT, dtype="m8[us]"),
        "texts": np.array(["a", "bcd"] * COUNT),
        "booleans": np.ones(COUNT, bool),
        "swapped": np.arange(COUNT, dtype=">i4"),
        "complex": np.full(COUNT, 1j),
        "masked": np.ma.masked_greater(np.arange(COUNT), 5),
        "dtype": record,
        "function": np.add,
    }


NAMES = ["small", "large", "fortran", "transposed", "strided", "reversed", "structured", "record",
         "read-only", "empty", "scalar", "number", "objects", "dates", "times", "texts", "booleans",
         "swapped", "complex", "masked", "dtype", "function"]  # fmt: skip


class TestPicklingNumpy:
    @pytest.mark.parametrize("by_value", [False, True], ids=["plain", "in a closure"])
    @pytest.mark.parametrize("name", NAMES)
    def test_arrays(self, bag: Bag, name: str, by_value: bool) -> None:
        """I86: every kind of array arrives equal, with its type, layout and flags."""
        np = pytest.importorskip("numpy")
        sent = arrays(np)[name]
        tx, rx = bag.channel()
        tx.send((lambda: sent) if by_value else sent)
        received = rx.recv()
        if by_value:
            received = received()
        assert type(received) is type(sent)
        if not isinstance(sent, np.ndarray):
            assert received == sent
            return
        assert (received.dtype, received.shape) == (sent.dtype, sent.shape)
        assert np.array_equal(received, sent)
        assert received.flags.writeable == sent.flags.writeable
        if sent.flags.forc:
            assert received.flags.f_contiguous == sent.flags.f_contiguous
        if sent.flags.writeable and sent.size and sent.dtype != object:
            before = sent.copy()
            received[...] = np.zeros((), sent.dtype)
            assert np.array_equal(sent, before)

    def test_one_memory(self, bag: Bag) -> None:
        """I86: one array at two places is one array; a received array is aligned for its type."""
        np = pytest.importorskip("numpy")
        tx, rx = bag.channel()
        sent = np.arange(COUNT, dtype="f8")
        tx.send([sent, {"again": sent}, np.arange(COUNT, dtype="c16")])
        one, other, numbers = rx.recv()
        assert one is other["again"]
        assert one.flags.aligned
        assert numbers.flags.aligned

    def test_arrays_outlive_the_channel(self, bag: Bag) -> None:
        """I86: an array is valid when its message, its receiver and its channel are gone."""
        np = pytest.importorskip("numpy")
        tx, rx = bag.channel()
        tx.send({"array": np.arange(COUNT), "more": bytes(COUNT)})
        array = rx.recv()["array"]
        tx.send(np.zeros(COUNT, int))
        rx.recv()
        tx.close()
        rx.close()
        gc.collect()
        array += 1
        assert int(array.sum()) == COUNT * (COUNT + 1) // 2
