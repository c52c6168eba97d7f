"""A little fuzzing in each test run, and every input that was ever interesting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import fuzz_receive
import pytest
from fuzz_receive import CORPUS, LONGEST, Target, supervise
from hostile_peer import bounded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipc_core.testing.marks import drops

pytestmark = drops


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with closing(Target()) as target:
        yield target


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.bin")))
def test_corpus(target: Target, name: str) -> None:
    with bounded():
        target.run((CORPUS / name).read_bytes())


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=LONGEST))
def test_any_input(target: Target, data: bytes) -> None:
    with bounded():
        target.run(data)


def fuzz(*options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, fuzz_receive.__file__, *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout


def test_command_line() -> None:
    status, said = fuzz("--seconds", "1", "--seed", "7")
    assert status == 0, said
    assert "distinct outcomes" in said


def fail(target: Target, data: bytes) -> set[str]:
    raise AssertionError("found")


def crash(target: Target, data: bytes) -> set[str]:
    os.kill(os.getpid(), signal.SIGBUS)
    return set()


def hang(target: Target, data: bytes) -> set[str]:
    signal.pause()
    return set()


@pytest.mark.parametrize("found", [fail, crash, hang])
def test_failures_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Callable[[Target, bytes], set[str]]
) -> None:
    (tmp_path / "seed.bin").write_bytes(b"what fails")
    monkeypatch.setattr(fuzz_receive, "CORPUS", tmp_path)
    monkeypatch.setattr(fuzz_receive, "HANG_SECONDS", 0.5)
    monkeypatch.setattr(Target, "run", lambda self, data: data and found(self, data))
    assert supervise(30, seed=7, grow=False) == 1
    (saved,) = {path.read_bytes() for path in tmp_path.iterdir()}
    assert saved == b"what fails"
    assert len(list(tmp_path.iterdir())) == 2
