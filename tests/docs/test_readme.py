"""The README's commands and examples work as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipc_core.plugins import choice
from ipc_core.spi import Backend, Capability

README = Path(__file__).parents[2] / "README.md"


def test_the_example_runs_verbatim(tmp_path: Path) -> None:
    if Capability.CROSS_PROCESS not in choice.backend().capabilities:
        pytest.skip("the chosen backend works in one process only")
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(source)
    run = subprocess.run(
        [sys.executable, "-W", "error", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "the sum is 6\n"), run.stderr


def test_the_choice_of_a_backend_is_described_in_its_order() -> None:
    text = README.read_text()
    settings = ["`backend=`", "use_backend", "set_default_backend", "`IPC_CORE_BACKEND`,",
                "for the platform", "only one installed"]  # fmt: skip
    positions = [text.index(setting) for setting in settings[:1]]
    start = positions[0]
    for setting in settings[1:]:
        start = text.index(setting, start)


def test_every_named_distribution_exists() -> None:
    root = README.parent
    for name in set(re.findall(r"ipc-backend-(\w+)", README.read_text())):
        assert (root / "backends" / name / "pyproject.toml").exists(), name
    assert issubclass(type(choice.backend("inprocess")), Backend)
