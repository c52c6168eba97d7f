"""Ends among the arguments of multiprocessing's processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import ipc_core

PROGRAM = Path(__file__).parent / "programs" / "process_arguments.py"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_arguments_of_processes_and_pools(method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", PROGRAM, method],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


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
