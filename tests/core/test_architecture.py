"""The imports allowed between modules, and the cost of starting up."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ipc_core

CORE = Path(ipc_core.__file__).parent
REPO = CORE.parent
BACKENDS = ["unix", "inprocess", "macos", "windows"]

FOLDERS = ["_typing", "spi", "plugins", "codecs", "messages", "channels", "", "cli", "testing"]
"""A module imports from its own folder and from those before it; "" is `ipc_core/__init__.py`."""


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by their dotted names; a folder's own is that of its `__init__`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The known modules that a file imports: at once, in a function, or for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & {*known}


@cache
def graph(package: Path) -> dict[str, set[str]]:
    known = modules(package)
    return {name: imports(path, known) - {name} for name, path in known.items()}


def folder(module: str) -> str:
    return module.removeprefix("ipc_core").removeprefix(".").partition(".")[0]


@pytest.mark.parametrize("module", modules(CORE))
def test_a_module_imports_only_its_own_folder_and_lower_ones(module: str) -> None:
    below = FOLDERS[: FOLDERS.index(folder(module).replace("__main__", "cli")) + 1]
    assert {name for name in graph(CORE)[module] if folder(name) not in below} == set()


@pytest.mark.parametrize(
    "package", [CORE, *(REPO / "backends" / name / f"ipc_backend_{name}" for name in BACKENDS)],
    ids=lambda path: path.name,
)  # fmt: skip
def test_no_modules_import_one_another(package: Path) -> None:
    TopologicalSorter(graph(package)).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_imports_only_the_spi(name: str) -> None:
    for path in (REPO / "backends" / name).glob("ipc_backend_*/*.py"):
        assert imports(path, modules(CORE)) <= {"ipc_core.spi"}, path


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_have_the_same_file_names(name: str) -> None:
    files = {path.stem for path in (REPO / "backends" / name).glob("ipc_backend_*/*.py")}
    expected = {
        "backend",
        "sender",
        "receiver",
        "receiver_set",
        "attachments",
        "memory",
        "listener",
    }
    if name != "inprocess":  # where nothing is written in bytes
        expected.add("wire")
    assert expected - files == set()


def test_importing_is_cheap() -> None:
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import ipc_core"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stderr  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in listing.splitlines()}
    assert "ipc_core" in imported
    unwanted = {"dill", "asyncio", "multiprocessing", "typer", "rich", "socket", "dataclasses",
                "pluggy", "importlib.metadata", "importlib_metadata", "inspect"}  # fmt: skip
    assert not imported & unwanted
    assert not {module for module in imported if module.startswith("ipc_backend_")}


def test_a_first_message_imports_no_more_than_it_needs() -> None:
    program = (
        "import sys\n"
        "before = {*sys.modules}\n"
        "import ipc_core\n"
        "tx, rx = ipc_core.channel()\n"
        "tx.send({'a': 1})\n"
        "assert rx.recv() == {'a': 1}\n"
        "print(*{*sys.modules} - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    unwanted = {"dill", "asyncio", "multiprocessing", "dataclasses", "pluggy", "importlib.metadata",
                "importlib_metadata", "tempfile", "inspect", "typing", "re", "pickle", "socket",
                "selectors", "contextlib"}  # fmt: skip
    assert not set(run.stdout.split()) & unwanted


def test_modules_stay_small() -> None:
    packages = [CORE, *REPO.glob("backends/*/ipc_backend_*"), *REPO.glob("examples/*/ipc_*")]
    sizes = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for package in packages
        for path in package.rglob("*.py")
    }
    assert sorted(sizes.values())[len(sizes) // 2] <= 150
    assert {path: size for path, size in sizes.items() if size > 300} == {}
