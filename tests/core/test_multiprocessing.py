"""Ends among the arguments of multiprocessing's processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import ipc_core

PROGRAMS = Path(__file__).parent / "programs"
METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])


def check(program: str, method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", PROGRAMS / program, method],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@METHODS
def test_arguments_of_processes_and_pools(method: str) -> None:
    check("process_arguments.py", method)


@METHODS
def test_codec_type_and_limit_of_arguments(method: str) -> None:
    pytest.importorskip("msgspec")
    check("typed_arguments.py", method)


def test_a_channel_of_a_class_of_the_main_program_is_not_sent() -> None:
    """By value, as the default codec sends such classes, it would be another class there."""
    pytest.importorskip("msgspec")
    program = (
        "import ipc_core as ipc, msgspec\n"
        "class Job(msgspec.Struct): number: int\n"
        "outer_tx, outer_rx = ipc.channel()\n"
        "tx, rx = ipc.channel(list[Job], codec='msgspec')\n"
        "try: outer_tx.send(rx)\n"
        "except ipc.EncodeError as error: print(error)\n"
        "tx.send([Job(1)]); print(rx.recv())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = done.stdout.splitlines()
    assert "define the class in a module that both import" in first
    assert second == "[Job(number=1)]"


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_anywhere_else_is_refused_with_a_hint(make: object) -> None:
    tx, rx = ipc_core.channel()
    region = ipc_core.IpcSharedMemory.from_bytes(b"x")
    with tx, rx, region:
        for end in (tx, rx, region):
            with pytest.raises(TypeError, match=r"tx\.send.*multiprocessing\.Process"):
                make(end)  # type: ignore[operator]


def test_a_backend_inside_one_process_says_so() -> None:
    program = (
        "import multiprocessing, ipc_core\n"
        "if __name__ == '__main__':\n"
        "    tx, rx = ipc_core.channel(backend='inprocess')\n"
        "    try:\n"
        "        multiprocessing.get_context('spawn').Process(target=print, args=(tx,)).start()\n"
        "    except ipc_core.NotSupportedError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "the inprocess backend has no way into another process\n"
