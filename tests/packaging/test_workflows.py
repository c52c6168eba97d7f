"""Every command of the hosted workflows refers to existing files and targets."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMMANDS = [
    pytest.param(line.strip().removeprefix("- ").removeprefix("run: "), id=f"{path.stem}-{number}")
    for path in WORKFLOWS
    for number, line in enumerate(path.read_text().splitlines(), 1)
    if re.match(r"\s*(- )?run: ", line)
]
OPTIONS_WITH_MODULES = {"-m", "-p", "--pyargs"}


def exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return (ROOT / module.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refers_to_what_exists(command: str) -> None:
    program, *words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "x", command))
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
        return
    assert program == "python"
    assert words
    for option, value in zip(["", *words], words, strict=False):
        if option in OPTIONS_WITH_MODULES:
            assert exists(value), value
        elif option == "--ipc-backend":
            assert (ROOT / "backends" / value / "pyproject.toml").exists(), value
        elif option == "-W":
            category = value.split(":")[2]
            module, _, name = category.rpartition(".")
            source = ROOT / "backends/macos" / module.replace(".", "/")
            assert f"class {name}(" in source.with_suffix(".py").read_text(), category
        elif option == "-e" or "/" in value:
            folder, _, extras = value.partition("[")
            assert (ROOT / folder).exists(), value
            declared = (ROOT / "pyproject.toml").read_text()
            for extra in filter(None, extras.rstrip("]").split(",")):
                assert f"\n{extra} = [" in declared, extra


def test_both_platforms_run_the_kit_and_the_demo() -> None:
    text = (ROOT / ".github/workflows/platforms.yml").read_text()
    for system in ("macos", "windows"):
        job = re.search(rf"^  {system}:\n(.*?)(?=^  \w|\Z)", text, re.MULTILINE | re.DOTALL)
        assert job
        assert f"runs-on: {system}-latest" in job[1]
        assert f"--pyargs ipc_core.testing.suite --ipc-backend {system}" in job[1]
        assert f"backends/{system}/tests" in job[1]
        assert "ipc_core demo" in job[1]
