"""The conformance kit is complete: every test is in the umbrella class, every row is named."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Callable
from inspect import signature
from types import ModuleType

from ipc_core.testing import BackendConformance, CodecConformance, codec_suite, suite

# Rows B96 to B111 are about Windows alone.
ROWS = {f"B{n}" for n in (*range(1, 96), 112)} | {f"D{n}" for n in range(1, 11)}

_ID = r"[BDIW]\d+"
_IDS = re.compile(rf"({_ID}(?:-{_ID})?(?:, {_ID}(?:-{_ID})?)*): \S")


def classes(package: ModuleType = suite) -> list[type]:
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.ispkg and ".test_" in module.name
    ]
    return [
        value
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("Test") and value.__module__ == module.__name__
    ]


def all_tests() -> list[tuple[str, Callable[..., None]]]:
    return [
        (name, test)
        for cls in classes()
        for name, test in vars(cls).items()
        if name.startswith("test")
    ]


def rows(test: Callable[..., None]) -> set[str]:
    """The ids with which a docstring begins; B3-B5 stands for three."""
    begins = _IDS.match(test.__doc__ or "")
    found: set[str] = set()
    for part in begins[1].split(", ") if begins else ():
        first, _, last = part.partition("-")
        numbers = range(int(first[1:]), int((last or first)[1:]) + 1)
        found |= {f"{first[0]}{number}" for number in numbers}
    return found


def test_every_class_is_in_the_umbrella() -> None:
    assert [cls.__name__ for cls in classes() if not issubclass(BackendConformance, cls)] == []


def test_every_class_for_codecs_is_in_their_umbrella() -> None:
    assert [cls for cls in classes(codec_suite) if not issubclass(CodecConformance, cls)] == []
    assert classes(codec_suite)


def test_names_are_unique() -> None:
    counts = Counter(name for name, _ in all_tests())
    assert [name for name, count in counts.items() if count > 1] == []


def fixtures(test: Callable[..., None]) -> set[str]:
    marks = getattr(test, "pytestmark", ())
    return {
        *signature(test).parameters,
        *(a for m in marks if m.name == "usefixtures" for a in m.args),
    }


def test_every_test_uses_the_backend_under_test() -> None:
    """Without one of these fixtures its channels would be those of the default backend."""
    chosen = {"backend", "bag", "children", "codec", "level", "router"}
    assert [name for name, test in all_tests() if not chosen & fixtures(test)] == []


def test_no_class_is_marked() -> None:
    """A mark on a class would spread to every test of the umbrella class."""
    assert [cls.__name__ for cls in classes() if "pytestmark" in vars(cls)] == []


def test_every_docstring_begins_with_rows() -> None:
    assert [name for name, test in all_tests() if not rows(test)] == []


def test_every_row_is_named() -> None:
    named = set().union(*(rows(test) for _, test in all_tests()))
    assert sorted(ROWS - named) == []
