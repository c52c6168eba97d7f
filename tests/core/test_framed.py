"""Payloads with buffers beside the pickle: their copies, and hostile ones."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc_core import DecodeError
from ipc_core.codecs import framed
from ipc_core.messages.format import DEFAULT
from ipc_core.spi import Buffer

MIB = 1 << 20
LARGE = 8 * MIB


class Region:
    """An object pickled as a buffer, like the arrays of other libraries."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: int) -> tuple[Any, ...]:  # type: ignore[override]
        return Region, (pickle.PickleBuffer(self.memory),)


@contextmanager
def allocating_at_most(size: int) -> Iterator[None]:
    """Assert that Python never allocates more than so many bytes in the block."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= size


def joined(data: Buffer | Sequence[Buffer]) -> bytearray:
    """A payload as a backend hands it over: writable, and the receiver's own."""
    return bytearray().join(data) if isinstance(data, list) else bytearray(data)  # type: ignore[arg-type]


LARGE_ONES = {
    "bytes": lambda: bytes(LARGE),
    "bytearray": lambda: bytearray(LARGE),
    "view": lambda: memoryview(bytearray(LARGE)),
    "read-only view": lambda: memoryview(bytes(LARGE)),
    "array": lambda: array("d", bytes(LARGE)),
    "region": lambda: Region(bytearray(LARGE)),
}
COPIES = {"bytes": 1, "bytearray": 1, "array": 1}
"""An object that has to own its memory is copied once, by the receiver."""


@pytest.mark.parametrize("kind", LARGE_ONES)
def test_encoding_copies_nothing(kind: str) -> None:
    obj = {"large": LARGE_ONES[kind](), "small": bytes(1000)}
    DEFAULT.to_payload(obj)
    with allocating_at_most(MIB):
        parts = DEFAULT.to_payload(obj)
    assert isinstance(parts, list)
    assert sum(map(len, parts)) >= LARGE


@pytest.mark.parametrize("kind", LARGE_ONES)
def test_decoding_copies_what_owns_its_memory(kind: str) -> None:
    payload = joined(DEFAULT.to_payload([LARGE_ONES[kind]()]))
    DEFAULT.from_payload(joined(DEFAULT.to_payload([1])))
    with allocating_at_most(COPIES.get(kind, 0) * LARGE + MIB):
        (received,) = DEFAULT.from_payload(payload)
    if kind not in COPIES:
        view = received.memory if kind == "region" else received
        payload[:] = b"x" * len(payload)
        assert bytes(view[-2:]) == b"xx", "it is not a view of the payload"


def test_a_numpy_array_is_the_payload() -> None:
    np = pytest.importorskip("numpy")
    sent = np.arange(LARGE // 8)
    parts = DEFAULT.to_payload({"a": sent, "b": sent.T})
    assert isinstance(parts, list)
    assert any(np.shares_memory(np.frombuffer(part, "u1"), sent) for part in parts if len(part) > 8)
    payload = joined(parts)
    with allocating_at_most(MIB):
        received = DEFAULT.from_payload(payload)["a"]
    assert np.shares_memory(np.frombuffer(payload, "u1"), received)
    assert np.array_equal(received, sent)


def test_a_payload_of_bytes_is_not_written_to() -> None:
    payload = bytes(joined(DEFAULT.to_payload(memoryview(bytearray(LARGE)))))
    before = bytes(bytearray(payload))
    received = DEFAULT.from_payload(payload)
    received[:] = b"x" * LARGE
    assert payload == before


@pytest.mark.parametrize(
    "sizes", [[framed.LEAST], [framed.LEAST + 1] * 5, [70_000, framed.LEAST, 99_999]]
)
def test_buffers_are_aligned(sizes: list[int]) -> None:
    regions = [Region(bytearray([number]) * size) for number, size in enumerate(sizes, 1)]
    payload = joined(DEFAULT.to_payload(regions))
    _, buffers = framed.split(payload)
    assert [bytes(buffer) for buffer in buffers] == [bytes(r.memory) for r in regions]
    starts = [payload.find(bytes(buffer)) for buffer in buffers]
    assert [start % 64 for start in starts] == [0] * len(sizes)


def head(count: int, size: int, *lengths: int) -> bytes:
    return struct.pack(f"<BxxxIQ{len(lengths)}Q", 0, count, size, *lengths)


HOSTILE = [
    b"", b"\0", head(0, 0)[:-1], head(0, 1), head(1, 0), head(2**32 - 1, 0), head(0, 2**64 - 1),
    head(1, 0, 2**64 - 1), head(1, 0, 0), head(1, 0, framed.LEAST), head(3, 0, *[2**63] * 3),
    head(1, 0, framed.LEAST) + bytes(framed.LEAST), head(1000, 0, *[0] * 1000) + bytes(100_000),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_sizes_that_do_not_fit(number: int) -> None:
    with allocating_at_most(MIB), pytest.raises(DecodeError):
        framed.split(HOSTILE[number])


def test_many_empty_buffers_are_refused_before_they_cost() -> None:
    count = LARGE // 8
    payload = head(count, 0) + bytes(LARGE)
    with allocating_at_most(MIB), pytest.raises(DecodeError, match="do not fit"):
        framed.split(payload)


_number = st.integers(0, 70_000) | st.sampled_from([2**31, 2**32 - 1, 2**63, 2**64 - 1])


@settings(deadline=None, max_examples=300)
@given(
    count=st.integers(0, 5) | st.sampled_from([2**16, 2**32 - 1]),
    size=_number,
    lengths=st.lists(_number, max_size=5),
    rest=st.integers(0, 100_000),
    cut=st.integers(0, 40),
    kind=st.sampled_from([bytes, bytearray, memoryview]),
)
def test_any_sizes(
    count: int, size: int, lengths: list[int], rest: int, cut: int, kind: Any
) -> None:
    """Either a DecodeError, or parts that lie in the payload one after the other."""
    payload = head(count, size, *lengths) + bytes(rest)
    payload = payload[: len(payload) - cut] if cut < len(payload) else b""
    try:
        stream, buffers = framed.split(kind(payload))
    except DecodeError:
        return
    assert len(stream) == size
    assert [len(buffer) for buffer in buffers] == lengths[:count] or count > len(lengths)
    assert all(len(buffer) >= framed.LEAST for buffer in buffers)
    assert len(stream) + sum(map(len, buffers)) + len(head(count, 0)) <= len(payload)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    try:
        framed.split(b"\0" + data)
    except DecodeError:
        pass
