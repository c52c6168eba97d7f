"""The discovery of codecs; ipc-core's own pass the kit."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import ipc_core
from ipc_core import codecs
from ipc_core.codecs import framed, tags
from ipc_core.testing import CodecConformance

pytest.importorskip("msgspec")

from ipc_core.testing.messages import Address, Circle, Item, Note, Notes, Order, Point, Shape


class TestPickle(CodecConformance):
    codec = "pickle"


class TestMsgspec(CodecConformance):
    codec = "msgspec"


class TestMsgspecTyped(CodecConformance):
    codec = "msgspec"
    samples: ClassVar[Any] = [
        (Order, Order([Item("tea", 2.5)], None, Note("x", [1]))),
        (Order, Order([Item(str(number), 0.5) for number in range(5000)])),
        (Shape, Circle(Point(0.0, 0.5), 1.0)),
        (Notes, [Note("text", [1, 2])]),
        (Address, {"street": "Main", "number": 7}),
    ]


def plugins(folder: Path, points: str, code: str = "") -> str:
    info = folder / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ipc_core.codecs]\n{points}\n")
    (folder / "strange.py").write_text(code)
    return str(folder)


PROBLEMS = [
    ("x = strange", "raise ImportError('no carrier')", "cannot be used: ImportError: no carrier"),
    ("x = strange:codec", "", "cannot be used: AttributeError"),
    ("x = strange:codec", "codec = 5", "5 is not an ipc_core.spi.Codec"),
    ("x = strange:C", "class C:\n bind=print; name='x'; runs_code=1", "not an ipc_core.spi.Codec"),
    ("x = strange:C", "class C:\n bind=print; name='a b'; runs_code=True", "not an ipc_core"),
    ("x = strange:C", "class C:\n bind=print; name='y'; runs_code=True", "calls itself 'y'"),
    ("y = strange", "", "there is no codec 'x'; installed: msgspec, pickle, y"),
]


@pytest.mark.parametrize(("points", "code", "expected"), PROBLEMS)
def test_a_codec_that_is_none(tmp_path: Path, points: str, code: str, expected: str) -> None:
    program = (
        "import ipc_core, sys\n"
        f"sys.path.insert(0, {plugins(tmp_path, points, code)!r})\n"
        "try: ipc_core.channel(codec='x')\n"
        "except ipc_core.NotSupportedError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    if "installed:" in expected and "json" in done.stdout:
        expected = expected.replace("installed: ", "installed: json, ")
    assert expected in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_pickle_by_its_name_is_the_default() -> None:
    tx, rx = ipc_core.channel(int, codec="pickle")
    other_tx, other_rx = ipc_core.channel()
    with tx, rx, other_tx, other_rx:
        assert tx._format is other_tx._format
        assert codecs.find("pickle") is codecs.default_codec


def test_a_name_begins_no_message_of_the_default_codec() -> None:
    """The default codec refuses at the first byte messages of codecs with any name."""
    assert tags.FIRST_BYTE[0] not in (pickle.PROTO[0], framed.FIRST_BYTE)
    tx, rx = ipc_core.channel()
    with tx, rx:
        for name in ("msgspec", "x", "N" * 63):
            tx._handle.send(tags.FIRST_BYTE + name.encode() + b"\0N.")
            with pytest.raises(ipc_core.DecodeError, match=f"the codec {name!r} wrote"):
                rx.recv()
        tx._handle.send(tags.FIRST_BYTE + b"N.")
        with pytest.raises(ipc_core.DecodeError, match="cannot decode"):
            rx.recv()


def test_formats_are_kept() -> None:
    """Binding is done once for a type and limit; types without a hash work too."""
    first, second = (ipc_core.channel(Order, codec="msgspec") for _ in range(2))
    with first[0], first[1], second[0], second[1]:
        assert first[0]._format is second[1]._format
    unhashable = ipc_core.channel(_unhashable(), codec="msgspec")
    with unhashable[0] as tx, unhashable[1] as rx:
        tx.send(4)
        assert rx.recv() == 4
        tx.send(11)
        with pytest.raises(ipc_core.DecodeError):
            rx.recv()


def _unhashable() -> Any:
    from typing import Annotated

    import msgspec

    return Annotated[int, msgspec.Meta(le=10), []]


class Memory:
    """A payload in memory that its sender can still write; notes how it was used."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self._data = data
        self._size = len(data) if size is None else size
        self.used: list[str] = []

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        self.used.append("read")
        return self._data

    def map(self) -> memoryview:
        self.used.append("map")
        return memoryview(bytearray(self._data))


def test_memory_of_a_peer_is_copied_for_a_safe_codec() -> None:
    for codec, used in (("pickle", "map"), ("msgspec", "read")):
        tx, rx = ipc_core.channel(codec=codec)
        with tx, rx:
            data = b"".join([bytes(rx._format.to_payload("text"))])  # type: ignore[arg-type]
            memory = Memory(data)
            assert rx._unpack(memory, ()) == "text"
            assert memory.used == [used]


def test_memory_over_the_limit_is_not_looked_at() -> None:
    huge = 1 << 40
    object_ends = [ipc_core.channel(codec=codec, max_message=9) for codec in ("pickle", "msgspec")]
    for tx, rx in (*object_ends, ipc_core.bytes_channel(max_message=9)):
        with tx, rx:
            memory = Memory(b"", huge)
            with pytest.raises(ipc_core.DecodeError, match=f"{huge} bytes .* max_message, 9"):
                rx._unpack(memory, ())
            assert memory.used == []
