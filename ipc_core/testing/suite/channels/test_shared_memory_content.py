"""Regions made from every kind of source, and their content then."""

from __future__ import annotations

import array
import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc_core import IpcSharedMemory
from ipc_core.spi import Capability, IpcIOError
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.payloads import MIB, pattern, same

PLACES = st.tuples(st.integers(-20, 220), st.integers(-20, 220))
PARTS = MIB - 1, MIB, MIB + 1, 2 * MIB + 17
"""Sizes around that of the parts in which a region is filled and compared."""


RUN = settings(max_examples=60, deadline=None)


@each_test(requires(Capability.SHARED_MEMORY))
class TestSharedMemoryContent:
    @pytest.mark.usefixtures("backend")
    def test_a_region_is_like_a_bytearray(self) -> None:
        """I75, I77: views of parts are written and read like those of a bytearray, by all
        holders, and stay when the region is closed."""

        @RUN
        @given(
            content=st.binary(max_size=200),
            writes=st.lists(st.tuples(PLACES, st.binary(max_size=200)), max_size=5),
            cuts=st.lists(PLACES, max_size=5),
        )
        def write(content: bytes, writes: list[tuple[Any, bytes]], cuts: list[Any]) -> None:
            model = bytearray(content)
            with Bag() as bag:
                tx, rx = bag.channel()
                region = bag.region(content)
                tx.send(region)
                arrived = bag.recv(rx)
                views = [region.buffer[slice(*cut)] for cut in cuts]
                for number, (place, data) in enumerate(writes):
                    part = memoryview(model)[slice(*place)]
                    fitting = (data * (len(part) + 1))[: len(part)] if data else bytes(len(part))
                    part[:] = fitting
                    (region, arrived)[number % 2].buffer_mut()[slice(*place)] = fitting
                assert bytes(region) == bytes(arrived) == bytes(model)
                region.close()
                assert arrived.take() == bytes(model)
                assert [bytes(view) for view in views] == [
                    bytes(memoryview(model)[slice(*cut)]) for cut in cuts
                ]

        write()

    @pytest.mark.usefixtures("backend")
    def test_regions_are_equal_when_their_bytes_are(self) -> None:
        """B22: regions of any bytes are equal exactly when the bytes are."""

        @RUN
        @given(one=st.binary(max_size=50), other=st.binary(max_size=50))
        def compare(one: bytes, other: bytes) -> None:
            with Bag() as bag:
                a, b = bag.region(one), bag.region(other)
                assert (a == b) is (one == other)
                assert (a != b) is (one != other)
                assert a == bag.region(one)
                assert a != one

        compare()

    @pytest.mark.parametrize("size", PARTS)
    def test_large_regions_are_equal_when_their_bytes_are(self, bag: Bag, size: int) -> None:
        """B22: large regions are equal only if every byte is, to the last."""
        one, other = bag.region(pattern(size)), bag.region(pattern(size))
        assert one == other
        for at in (0, size // 2, size - 1):
            other.buffer_mut()[at] ^= 1
            assert one != other
            other.buffer_mut()[at] ^= 1
        assert one == other

    @pytest.mark.parametrize("byte", [0, 1, 255])
    @pytest.mark.parametrize("size", PARTS)
    def test_a_repeated_byte(self, bag: Bag, byte: int, size: int) -> None:
        """B21: a fill byte fills all of a region."""
        region = bag.keep(IpcSharedMemory.from_byte(byte, size))
        assert same(region.take(), bytes((byte,)) * size)

    @pytest.mark.parametrize("size", [0, 1, 5000, *PARTS])
    def test_an_empty_region_is_filled_in_place(self, bag: Bag, size: int) -> None:
        """B21: an empty region consists of zeros until it is written to."""
        region = bag.keep(IpcSharedMemory.empty(size))
        assert same(bytes(region), bytes(size))
        region.buffer_mut()[:] = pattern(size)
        tx, rx = bag.channel()
        tx.send(region)
        assert same(bag.recv(rx).take(), pattern(size))

    @pytest.mark.parametrize(
        "make",
        [
            bytearray,
            lambda data: memoryview(bytearray(data)),
            lambda data: memoryview(data).cast("H"),
            lambda data: array.array("I", data),
            lambda data: memoryview(
                bytes(byte for pair in zip(data, data, strict=True) for byte in pair)
            )[::2],
        ],
        ids=["bytearray", "memoryview", "shorts", "array", "strided"],
    )
    def test_any_object_with_bytes(self, bag: Bag, make: Callable[[bytes], Any]) -> None:
        """B21: a region is a copy of its bytes, one after the other."""
        data = pattern(1000)
        for content in (data, b""):
            region = bag.keep(IpcSharedMemory.from_bytes(make(content)))
            assert bytes(region) == content

    @pytest.mark.parametrize("size", [0, 1, 70_000, *PARTS])
    def test_a_file(self, bag: Bag, tmp_path: Path, size: int) -> None:
        """B21: a file is read by its path, or open, from its position; it stays open."""
        path = tmp_path / "file"
        path.write_bytes(pattern(size))
        before = descriptors()
        assert same(bag.keep(IpcSharedMemory.from_file(path)).take(), pattern(size))
        assert same(bag.keep(IpcSharedMemory.from_file(str(path))).take(), pattern(size))
        assert descriptors() == before
        for buffering in (0, -1):
            with path.open("rb", buffering=buffering) as file:
                head = file.read(10)
                region = bag.keep(IpcSharedMemory.from_file(file))
                assert same(head + region.take(), pattern(size))
                assert file.read() == b""
                assert bag.keep(IpcSharedMemory.from_file(file)).take() == b""

    def test_files_of_other_kinds(self, bag: Bag, tmp_path: Path) -> None:
        """B21: files in memory, compressed ones, and pipes, which do not tell their length."""
        data = pattern(100_000)
        path = tmp_path / "file.gz"
        path.write_bytes(gzip.compress(data))
        with gzip.open(path) as compressed:
            assert bag.keep(IpcSharedMemory.from_file(compressed)).take() == data
        assert bag.keep(IpcSharedMemory.from_file(io.BytesIO(data))).take() == data

        class Pipe(io.BytesIO):
            def seek(self, *_: Any) -> int:
                raise io.UnsupportedOperation("seek")

        assert bag.keep(IpcSharedMemory.from_file(Pipe(data))).take() == data

    def test_a_file_that_cannot_be_read(self, bag: Bag, tmp_path: Path) -> None:
        """B21: the error of reading a file passes through, and nothing is left of the region."""

        class Short(io.BytesIO):
            def readinto(self, buffer: Any) -> int:
                return super().readinto(buffer[:7]) if self.tell() < 70 else 0

        class Broken(io.BytesIO):
            def readinto(self, _: Any) -> int:
                raise ZeroDivisionError

        bag.region(b"x")
        before = descriptors()
        with pytest.raises(FileNotFoundError):
            IpcSharedMemory.from_file(tmp_path / "missing")
        with pytest.raises(OSError, match="30 bytes early"):
            IpcSharedMemory.from_file(Short(bytes(100)))
        with pytest.raises(ZeroDivisionError):
            IpcSharedMemory.from_file(Broken(bytes(100)))
        assert descriptors() == before

    @pytest.mark.parametrize(
        ("make", "error", "text"),
        [
            (lambda: IpcSharedMemory.from_bytes("text"), TypeError, "str"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.from_bytes(7), TypeError, "int"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.from_byte("7", 7), TypeError, "str"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.from_byte(7, 7.5), TypeError, "float"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.empty("7"), TypeError, "str"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.empty(-1), ValueError, "-1"),
            (lambda: IpcSharedMemory.from_file(io.StringIO("text")), TypeError, "binary"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.from_file(7), TypeError, "path"),  # type: ignore[arg-type]
            (lambda: IpcSharedMemory.empty(2**64), MemoryError, "addresses"),
        ],
    )
    def test_regions_of_nonsense(
        self, bag: Bag, make: Callable[[], object], error: type[Exception], text: str
    ) -> None:
        """B21: an error of one line names the mistake."""
        with pytest.raises(error, match=text) as caught:
            make()
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("size", [2**60, 2**62])
    def test_more_than_there_is(self, bag: Bag, size: int) -> None:
        """B21: a region beyond the memory is an error, and not a crash when it is touched."""
        for make in (IpcSharedMemory.empty, lambda size: IpcSharedMemory.from_byte(7, size)):
            with pytest.raises((MemoryError, IpcIOError)):
                make(size)
        assert bag.region(b"next").take() == b"next"

    def test_views_of_one_region_are_cheap(self, bag: Bag) -> None:
        """I77: a view of a part keeps the region, and is one view after the other of it."""
        region = bag.region(pattern(5000))
        part = region.buffer[1000:2000]
        nested = part[100:200]
        region.close()
        part.release()
        assert nested == pattern(5000)[1100:1200]
        assert nested.readonly

    def test_pickled_by_itself(self, bag: Bag) -> None:
        """W46: outside a channel the error says how a region travels."""
        region = bag.region(b"content")
        with pytest.raises(TypeError, match="send"):
            pickle.dumps(region)
        assert bytes(region) == b"content"

    def test_a_region_that_goes_to_and_fro(self, bag: Bag) -> None:
        """B20: a region sent a hundred times stays the same memory, at the same cost."""
        there, back = bag.channel(), bag.channel()
        region = bag.region(bytes(100))
        before: list[int] = []
        passed = region.clone()
        for hop in range(100):
            there[0].send(passed)
            passed.close()
            arrived = there[1].recv()
            arrived.buffer_mut()[hop] = hop
            back[0].send(arrived)
            arrived.close()
            passed = back[1].recv()
            before.append(descriptors())
        assert bytes(region) == bytes(passed) == bytes(range(100))
        assert max(before[10:]) == min(before[10:])
        passed.close()
