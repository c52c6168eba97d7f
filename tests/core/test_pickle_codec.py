"""The pickler of each kind of object, and its trace on the wire."""

from __future__ import annotations

import copyreg
import functools
import pickle
import subprocess
import sys
import threading
from array import array
from typing import Any

import pytest

import ipc_core
from ipc_core import DecodeError
from ipc_core.codecs import pickled, rebuild
from ipc_core.messages.format import DEFAULT

PROGRAM = """\
import functools, sys, types
from dataclasses import dataclass
from enum import Enum
from ipc_core.messages.format import DEFAULT

def function():
    return 1

class Class:
    pass

@dataclass
class Data:
    number: int

class Color(Enum):
    RED = 1

world = bytes(1_000_000)
huge = 10 ** 400_000
cases = {
    "function": function, "class": Class, "instance": Class(), "member": Color.RED,
    "dataclass": Data(1),
    "types": [types.MappingProxyType({1: Class}), types.FunctionType, type(None)],
    "module": [types.ModuleType("made"), function],
    "partial": functools.partial(function), "method": Class().__init__,
    "before a huge number": [Class(), huge], "after one": [huge, Class()],
    "after large bytes": [bytes(1 << 20), function],
    "far behind": [list(range(100_000)), Class()], "in between": [[Class()], list(range(100_000))],
    "after its name": ["__main__", Class()], "with its name": [__name__, __name__, function],
    "beside a buffer": [memoryview(bytearray(1 << 20)), Class()],
}
for name, obj in cases.items():
    data = DEFAULT.to_payload(obj)
    data = data if isinstance(data, bytes) else b"".join(data)
    assert b"rebuild" in data, name
    assert b"dill" not in data, name
assert "dill" not in sys.modules
assert len(DEFAULT.to_payload([function, Class, Color])) < 3000, "it drags in what it does not use"
print("by value")
"""


def encoded(obj: object) -> bytes:
    data = DEFAULT.to_payload(obj)
    return data if isinstance(data, bytes) else b"".join(data)


def test_what_is_of_main_goes_by_value(tmp_path: Any) -> None:
    """Names of the main module are found wherever C pickle writes them, and without dill."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.stdout, run.stderr) == ("by value\n", "")


def test_plain_data_is_plain_pickle() -> None:
    for obj in ({"a": [1, 2.5, None, "text", b"bytes"]}, ipc_core.spi.errors.Empty, array):
        assert encoded(obj) == pickle.dumps(obj, 5)


def test_what_copyreg_knows_later_is_used() -> None:
    class Known:
        pass

    copyreg.pickle(Known, lambda obj: (int, ("7",)))  # type: ignore[arg-type, return-value]
    try:
        assert DEFAULT.from_payload(encoded([Known(), Known()])) == [7, 7]
    finally:
        del copyreg.dispatch_table[Known]


def test_what_only_dill_knows(tmp_path: Any) -> None:
    """Open files travel by their names."""
    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as file:
        received = DEFAULT.from_payload(encoded([file, lambda: 1]))
    assert received[0].read() == "text"
    received[0].close()
    assert received[1]() == 1


def test_code_of_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(lambda: 1)
    monkeypatch.setattr(rebuild, "PYTHON", "cpython-0")
    with pytest.raises(TypeError, match="cannot run on cpython-0"):
        DEFAULT.from_payload(data)


def test_a_class_that_failed_to_arrive_arrives_the_next_time() -> None:
    class Base:
        pass

    made = type("Made", (Base,), {"value": 1})
    data = encoded(made)
    token = rebuild._tokens[made]
    del rebuild._tokens[made], rebuild._classes[token], rebuild._tokens[Base]
    broken = data.replace(b"finish_class", b"finish_clas_")
    with pytest.raises(AttributeError):
        DEFAULT.from_payload(broken)
    again = DEFAULT.from_payload(data)
    assert again is not made
    assert again().value == 1
    assert DEFAULT.from_payload(data) is again


def test_classes_are_not_kept_alive() -> None:
    import gc
    import weakref

    def make() -> weakref.ref[type]:
        made = type("Made", (), {})
        DEFAULT.from_payload(encoded(made()))
        return weakref.ref(made)

    reference = make()
    gc.collect()
    assert reference() is None


def test_output_of_other_threads_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Finding a function's globals prints nothing, and catches nothing that is printed."""
    stop = threading.Event()
    printed = 0

    def print_on() -> None:
        nonlocal printed
        while not stop.is_set() and printed < 100_000:
            print("line")
            printed += 1

    thread = threading.Thread(target=print_on)
    thread.start()
    before = sys.stdout
    for number in range(100):
        source = f"def function_{number}(): return len([pickle, functools, {number}])"
        names = {"__name__": "nowhere", "pickle": pickle, "functools": functools}
        exec(source, names)
        assert DEFAULT.from_payload(encoded(names[f"function_{number}"]))() == 3
    stop.set()
    thread.join()
    assert sys.stdout is before
    assert capsys.readouterr().out == "line\n" * printed


@pytest.mark.parametrize(("value", "safe"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_safe_mode(monkeypatch: pytest.MonkeyPatch, value: str, safe: bool) -> None:
    """The safe mode's variable is read when a codec is bound, and sending works."""
    monkeypatch.setenv(pickled.SAFE_VARIABLE, value)
    coder = pickled.PickleCodec().bind(Any, None, None)
    monkeypatch.delenv(pickled.SAFE_VARIABLE)
    data = coder.encode([1])
    if safe:
        with pytest.raises(DecodeError, match=pickled.SAFE_VARIABLE):
            coder.decode(data)
    else:
        assert coder.decode(data) == [1]
