"""Each row of the catalogue of ipc-channel's behaviours has a test, or a line that says why not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = ("ipc_core/testing/suite", "tests", "backends/unix/tests", "backends/inprocess/tests")
ROWS = {f"I{n}" for n in range(1, 108)} | {f"W{n}" for n in range(1, 49)}
"""I: implied by ipc-channel's documentation or code, without a test there. W: a weakness of it."""


def docstrings() -> Iterator[str]:
    """Of every test."""
    for place in PLACES:
        for path in (ROOT / place).rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    yield ast.get_docstring(node) or ""


def test_every_row_is_tested_or_explained() -> None:
    limits = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[IW]\d+\b", "\n".join([*docstrings(), limits])))
    assert sorted(ROWS - named) == []
