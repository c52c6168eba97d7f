"""Who may import whom, and what starting up may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ipc_core

CORE = Path(ipc_core.__file__).parent
REPO = CORE.parent

# A module may import what stands before it, never what stands after.
LAYERS = [
    {"errors", "generics", "threads", "timeouts"},
    {"forking", "handles"},
    {"regions"},
    {"spi"},
    {
        "discovery",
        "message",
        "codecs.cpickle",
        "codecs.framed",
        "codecs.rebuild",
        "codecs.blame",
        "codecs.tags",
        "codecs.declared",
    },
    {"codecs.buffers"},
    {"codecs.by_value"},
    {"codecs.dilled"},
    {"codecs", "codecs.pickled", "codecs.typed"},
    {"registry", "plugins", "aio"},
    {"spawning"},
    {"attachable"},
    {"formats"},
    {"sender", "receiver"},
    {"channel", "shared_memory", "one_shot_server", "joined_sets"},
    {"receiver_set"},
    {"router"},
]


def imports(path: Path) -> set[str]:
    """The modules of ipc_core that a file imports when it runs, not for the type checker."""
    found = set()
    tree = ast.parse(path.read_text())
    checking = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "ipc_core":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "ipc_core.codecs":
            names = {alias.name for alias in node.names}
            modules = {name for name in names if (CORE / "codecs" / f"{name}.py").exists()}
            found |= {f"codecs.{name}" for name in modules} | (
                {"codecs"} if names - modules else set()
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ipc_core."):
            found.add((node.module or "").removeprefix("ipc_core."))
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("ipc_core.") for a in node.names if "ipc_core." in a.name}
    return found


@pytest.mark.parametrize("level", range(len(LAYERS)))
def test_a_module_imports_only_lower_layers(level: int) -> None:
    below = set().union(*LAYERS[:level])
    for module in LAYERS[level]:
        path = CORE / (module.replace(".", "/") + ".py")
        if not path.exists():
            path = CORE / module / "__init__.py"
        same_package = {m for m in LAYERS[level] if m.startswith(f"{module}.")}
        assert imports(path) <= below | same_package, module


@pytest.mark.parametrize("name", ["unix", "inprocess", "macos", "windows"])
def test_a_backend_imports_only_the_spi(name: str) -> None:
    for path in (REPO / "backends" / name).glob("ipc_backend_*/*.py"):
        assert imports(path) <= {"spi"}, path


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
    sizes = {path: len(path.read_text().splitlines()) for path in CORE.glob("*.py")}
    assert sorted(sizes.values())[len(sizes) // 2] <= 150
    assert max(sizes.values()) <= 350, max(sizes, key=lambda path: sizes[path])
