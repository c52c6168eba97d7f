"""`ipc-core backends`, `ipc-core codecs` and `ipc-core doctor`, as a person runs them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k != "IPC_CORE_BACKEND"}
    return subprocess.run(
        [sys.executable, "-m", "ipc_core", *arguments],
        env=variables | {"COLUMNS": "200"} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def row(output: str, name: str) -> str:
    (line,) = [line for line in output.splitlines() if line.startswith(f"│ {name} ")]
    return line


def broken_plugin(folder: Path) -> str:
    info = folder / "broken-3.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 3.2\n")
    (info / "entry_points.txt").write_text("[ipc_core.backends]\nbroken = broken_plugin\n")
    (folder / "broken_plugin.py").write_text("raise ImportError('no carrier')")
    return str(folder)


def test_backends_lists_what_is_installed() -> None:
    done = run("backends")
    assert (done.returncode, done.stderr) == (0, "")
    unix, inprocess = row(done.stdout, "unix"), row(done.stdout, "inprocess")
    assert "ipc-backend-unix 0.1.0" in unix
    assert "outlives sender" in unix
    assert "cross process" not in inprocess
    assert "is chosen, by this platform" in done.stdout


def test_backends_says_what_chose() -> None:
    done = run("backends", IPC_CORE_BACKEND="inprocess")
    assert "inprocess is chosen, by the variable IPC_CORE_BACKEND" in done.stdout
    done = run("backends", IPC_CORE_BACKEND="pigeon")
    assert done.returncode == 0
    assert "pip install ipc-backend-pigeon" in done.stdout


def test_a_plugin_that_fails_to_import_is_a_row(tmp_path: Path) -> None:
    done = run("backends", PYTHONPATH=broken_plugin(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "broken 3.2" in row(done.stdout, "broken")
    assert "no carrier" in row(done.stdout, "broken")
    assert "is chosen" in done.stdout


def test_codecs_lists_what_is_installed() -> None:
    done = run("codecs")
    assert (done.returncode, done.stderr) == (0, "")
    pickle, msgspec = row(done.stdout, "pickle"), row(done.stdout, "msgspec")
    assert "ipc-core 0.1.0" in pickle
    assert "runs code" in pickle
    assert "is data" in msgspec
    assert "yes" in msgspec


def test_a_codec_that_cannot_be_used_is_a_row(tmp_path: Path) -> None:
    folder = broken_plugin(tmp_path)
    (tmp_path / "msgspec.py").write_text("raise ImportError('not here')")
    (tmp_path / "strange.py").write_text("codec = 5")
    points = tmp_path / "broken-3.2.dist-info" / "entry_points.txt"
    points.write_text("[ipc_core.codecs]\nbroken = broken_plugin:codec\nstrange = strange:codec\n")
    done = run("codecs", PYTHONPATH=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no carrier" in row(done.stdout, "broken")
    assert "broken 3.2" in row(done.stdout, "strange")
    assert "not an ipc_core.spi.Codec" in row(done.stdout, "strange")
    assert "pip install 'ipc-core[msgspec]'" in row(done.stdout, "msgspec")


def test_doctor_shows_limits() -> None:
    done = run("doctor", IPC_CORE_BACKEND="unix")
    assert done.stderr == ""
    for subject in ("open files", "descriptors in unread messages", "socket send buffer",
                    "memory files", "temporary folder", "memory of the control group"):  # fmt: skip
        assert subject in done.stdout


def test_doctor_hints_at_what_is_too_low(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    long = tmp_path / ("x" * 100)
    long.mkdir()
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        done = run("doctor", IPC_CORE_BACKEND="unix", TMPDIR=str(long))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (done.returncode, done.stderr) == (1, "")
    assert f"ulimit -n {hard}" in done.stdout
    assert "servers use /tmp instead" in done.stdout


def test_doctor_of_a_backend_without_limits() -> None:
    done = run("doctor", IPC_CORE_BACKEND="inprocess")
    assert (done.returncode, done.stderr) == (0, "")
    assert "depends on no limit" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["backend"], ["backends", "--all"], ["doctor", "x"], ["--no-such-option"]]
)
def test_wrong_use_is_one_line(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_no_backend_is_one_line() -> None:
    done = run("doctor", IPC_CORE_BACKEND="pigeon")
    assert done.returncode == 2
    assert done.stderr.startswith("ipc-core: the backend 'pigeon' cannot be used")
    assert len(done.stderr.splitlines()) == 1
