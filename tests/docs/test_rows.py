"""Each id of docs/behaviours.md is tested or explained, and each id in use has its line there."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
AREAS = {"B": 112, "D": 10, "I": 107, "W": 48}
"""The letters, each with its last number."""

_ID = re.compile(r"\b([BDIW])(\d+)(?:-[BDIW](\d+))?\b")
_PREFIX = re.compile(rf"{_ID.pattern}(?:, {_ID.pattern})*: ")


def ids(text: str) -> list[str]:
    """Return the ids in `text`, with B3-B5 as three."""
    return [
        f"{letter}{number}"
        for letter, first, last in _ID.findall(text)
        for number in range(int(first), int(last or first) + 1)
    ]


def docstrings() -> Iterator[str]:
    """The docstring of every test in the repository, with "" for none."""
    listed = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True)
    for path in listed.split():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            functions = ast.FunctionDef | ast.AsyncFunctionDef
            if isinstance(node, functions) and node.name.startswith("test_"):
                yield ast.get_docstring(node) or ""


def lines() -> list[str]:
    """The ids of the page, one for each time that a line begins with it."""
    text = (DOCS / "behaviours.md").read_text(encoding="utf-8")
    return ids("\n".join(re.findall(r"^\| (\w+(?:-\w+)?) \|", text, re.MULTILINE)))


def named() -> set[str]:
    """The ids that begin a docstring, or stand in docs/limits.md."""
    begins = [match[0] for text in docstrings() if (match := _PREFIX.match(text))]
    return set(ids("\n".join([*begins, (DOCS / "limits.md").read_text(encoding="utf-8")])))


def test_the_page_has_one_line_for_each_id() -> None:
    assert lines() == [f"{letter}{n + 1}" for letter, last in AREAS.items() for n in range(last)]


def test_every_id_in_use_has_its_line() -> None:
    assert sorted(named() - set(lines())) == []


def test_every_line_is_tested_or_explained() -> None:
    assert sorted(set(lines()) - named()) == []
