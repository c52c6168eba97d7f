"""The documentation works: its examples run, its names and links exist.

The ```python blocks of a page run as one program. A comment on the line before a block changes
that: `<!-- program -->` runs it as a program of its own, `<!-- needs: anyio -->` only where that
can be imported, and `<!-- file: a/b.py -->`, for any language, makes it (a part of) that file.
`expression  # -> text` has to give that repr, or print that text; `statement  # raises Error` has
to raise an error of that class.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import ipc_core
from ipc_core.plugins import choice
from ipc_core.spi import Capability

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BACKEND_PAGE = DOCS / "writing-a-backend.md"
MARKDOWN = [
    path
    for pattern in ("*.md", "docs/*.md", "backends/*/*.md", "examples/**/*.md", "benchmarks/*.md")
    for path in sorted(ROOT.glob(pattern))
]
LIMIT = 100

PRELUDE = """\
import contextlib as _contextlib

def _gives(value, text):
    assert repr(value) == text, f"{value!r}, and not {text}"

def _prints(text):
    def check(*values):
        printed = " ".join(map(str, values))
        assert printed == text, f"{printed}, and not {text}"
    return check

@_contextlib.contextmanager
def _raises(name):
    try:
        yield
    except Exception as error:
        assert name in [cls.__name__ for cls in type(error).__mro__], repr(error)
    else:
        raise AssertionError(f"no {name}")
"""

_GIVES = re.compile(r"(\s*)(.*\S)\s+# -> (.*)")
# The warning of asyncio's debug mode on a busy machine.
_SLOW = re.compile(r"Executing <.*> took \d+\.\d+ seconds\n")
_PRINTS = re.compile(r"(\s*)print\((.*)\)")
_RAISES = re.compile(r"(\s*)(.*\S)\s+# raises (\w+)")


@dataclass(frozen=True)
class Block:
    """A fenced block. `mark` and `value` are those of the comment before it."""

    line: int
    language: str
    code: list[str]
    mark: str
    value: str


def blocks(page: Path) -> list[Block]:
    found = []
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    mark = ("", "")
    for number, line in lines:
        comment = re.fullmatch(r"<!-- (\w+)(?:: (.*))? -->", line)
        if comment:
            mark = (comment[1], comment[2] or "")
        elif line.startswith("```"):
            code = []
            for _, inner in lines:
                if inner == "```":
                    break
                code.append(inner)
            found.append(Block(number, line[3:], code, *mark))
            mark = ("", "")
        elif line:
            mark = ("", "")
    return found


def checked(line: str) -> str:
    """A line of an example, with its comment made into a check."""
    raises = _RAISES.fullmatch(line)
    if raises:
        return f"{raises[1]}with _raises({raises[3]!r}): {raises[2]}"
    gives = _GIVES.fullmatch(line)
    if not gives:
        return line
    prints = _PRINTS.fullmatch(gives[1] + gives[2])
    if prints:
        return f"{prints[1]}_prints({gives[3]!r})({prints[2]})"
    return f"{gives[1]}_gives({gives[2]}, {gives[3]!r})"


def program(parts: list[Block]) -> str:
    """One program, whose lines have the numbers that they have on the page."""
    lines = [f"exec({PRELUDE!r})"]
    for part in parts:
        lines += [""] * (part.line - len(lines))
        lines += map(checked, part.code)
    return "\n".join(lines) + "\n"


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page prints."""
    for block in blocks(page):
        if block.mark == "file":
            path = folder / block.value
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write("\n".join([*block.code, ""]))


def programs() -> list[object]:
    found = []
    for page in PAGES:
        python = [block for block in blocks(page) if block.language == "python"]
        shared = [block for block in python if block.mark in ("", "needs")]
        if shared:
            found.append(pytest.param(page, shared, id=page.stem))
        found += [
            pytest.param(page, [block], id=f"{page.stem}-{block.line}")
            for block in python
            if block.mark == "program"
        ]
    return found


def run(folder: Path, *args: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error", "PYTHONUTF8": "1", **extra}
    return subprocess.run(
        [sys.executable, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        cwd=folder, env={**os.environ, **environment}, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("page", "parts"), programs())
def test_the_examples_of_a_page_run(page: Path, parts: list[Block], tmp_path: Path) -> None:
    if Capability.CROSS_PROCESS not in choice.backend().capabilities:
        pytest.skip("the chosen backend works in one process only")
    runnable = [
        part for part in parts if part.mark != "needs" or importlib.util.find_spec(part.value)
    ]
    if page != BACKEND_PAGE:
        write_files(page, tmp_path)
    path = tmp_path / f"{page.stem}.py".replace("-", "_")
    path.write_text(program(runnable))
    result = run(tmp_path, path)
    errors = _SLOW.sub("", result.stderr)
    assert (result.returncode, errors) == (0, ""), f"{page.name}:\n{errors}"


@pytest.fixture
def written_backend(tmp_path: Path) -> Path:
    """The files of the page about backends, as if the distribution were installed from there."""
    write_files(BACKEND_PAGE, tmp_path)
    metadata = tmp_path / "ipc_backend_toy-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ipc-backend-toy\nVersion: 0\n")
    (entry,) = re.findall(
        r'"ipc_core\.backends"\]\n(.*)', (tmp_path / "pyproject.toml").read_text()
    )
    points = f"[ipc_core.backends]\n{entry}\n".replace('"', "")
    (metadata / "entry_points.txt").write_text(points)
    return tmp_path


def commands(page: Path) -> list[str]:
    """The lines that a page tells to type."""
    return [
        line.removeprefix("$ ")
        for block in blocks(page)
        if block.language == "console"
        for line in block.code
    ]


# The whole kit runs on it, likewise as the page says, in tests/packaging.
@pytest.mark.parametrize(
    "command",
    [
        *(command for command in commands(BACKEND_PAGE) if command.endswith("--ipc-quick")),
        "python -m pytest tests -k 'TestToy and (receiver_set or disconnect or embedd or fork)'",
    ],
    ids=["by name", "by class"],
)
def test_the_backend_of_the_page_passes_the_kit(written_backend: Path, command: str) -> None:
    program, *args = shlex.split(command)
    assert program == "python"
    result = run(written_backend, *args, PYTHONPATH=str(written_backend))
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b[1-9]\d+ passed", result.stdout), result.stdout
    assert "conformance of toy" in result.stdout


def test_the_tree_of_the_page_has_every_file(written_backend: Path) -> None:
    tree = next(block for block in blocks(BACKEND_PAGE) if block.language == "text")
    for block in blocks(BACKEND_PAGE):
        if block.mark == "file":
            assert Path(block.value).name in "\n".join(tree.code), block.value


def test_every_public_name_is_explained() -> None:
    text = (DOCS / "guide.md").read_text() + (DOCS / "from-ipc-channel.md").read_text()
    words = set(re.findall(r"\w+", text))
    assert sorted(set(ipc_core.__all__) - words) == []


def drawn() -> set[str]:
    """Every path of the tree in docs/design.md; a line may name several."""
    tree = next(block for block in blocks(DOCS / "design.md") if block.language == "text")
    found: set[str] = set()
    folders: list[str] = []
    for line in tree.code:
        indent, names = re.match(r"(\s*)(\S+(?: \S+)*)", line).groups()  # type: ignore[union-attr]
        del folders[len(indent) // 2 :]
        found |= {"".join([*folders, name]).rstrip("/") for name in names.split()}
        folders.append(names)
    return found


def test_the_tree_of_the_repo_is_the_repo() -> None:
    assert sorted(path for path in drawn() if not (ROOT / path).exists()) == []
    core = ROOT / "ipc_core"
    kept = {path for path in core.rglob("*.py") if not {"testing", "demo"} & {*path.parts}}
    kept -= {*core.glob("*/__init__.py")}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split("\n")
    tops = {path.split("/")[0] for path in listed if "/" in path and path[0] != "."}
    tests = {f"tests/{path.split('/')[1]}" for path in listed if path.startswith("tests/")}
    wanted = {str(path.relative_to(ROOT)) for path in kept} | tops | tests
    assert sorted(wanted - drawn()) == []


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target) if target else path
        assert file.exists(), link
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), link
