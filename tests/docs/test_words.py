"""Docstrings and comments begin with a name or an imperative, and seldom say "what"."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"backends": 1, "benchmarks": 1, "examples": 1, "ipc_core": 1, "tests": 1, "tools": 1}
"""The folders to check, subfolders included, each with its cap on "what" in 1,000 words."""

_CODES = re.compile(r"[BDIW]\d+(?:[-, ]+[BDIW]\d+)*: ")
_CLAUSE = re.compile(r"(?:what|who|whoever)\b", re.IGNORECASE)
_TOOLS = re.compile(r"(?:noqa|type|pragma|fmt|mypy|nosec)\b")
_HOLDERS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, those of constants included."""
    for node in ast.walk(tree):
        if isinstance(node, _HOLDERS):
            yield from (
                (statement.lineno, statement.value.value)
                for statement in node.body
                if isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            )


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment; lines that follow each other are one comment."""
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string.lstrip("#! ")
        if token.type != tokenize.COMMENT or _TOOLS.match(text):
            continue
        if block and (token.start[0] != last + 1 or token.line.lstrip()[0] != "#"):
            yield first, " ".join(block)
            block = []
        first, last = first if block else token.start[0], token.start[0]
        block.append(text)
    if block:
        yield first, " ".join(block)


@cache
def texts(folder: str) -> list[tuple[str, str]]:
    """Return place and text of each docstring and comment in the folder."""
    listed = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT / folder, text=True)
    found: list[tuple[str, str]] = []
    for path in listed.split():
        source = (ROOT / folder / path).read_text(encoding="utf-8")
        for line, text in (*docstrings(ast.parse(source)), *comments(source)):
            found.append((f"{folder}/{path}:{line}", text.strip()))
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_none_begins_with_a_relative_clause(folder: str) -> None:
    begins = [
        f"{place}: {text}"
        for place, text in texts(folder)
        if _CLAUSE.match(_CODES.sub("", text, count=1))
    ]
    assert begins == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_rare(folder: str) -> None:
    words = [word for _, text in texts(folder) for word in re.findall(r"[a-z']+", text.lower())]
    assert words
    assert words.count("what") * 1000 <= FOLDERS[folder] * len(words)
