"""The conformance kit notices mistakes: each of these makes some test of it fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# The folders where most mistakes show; the whole kit runs for the others.
QUICK = "TestTransport and not Limits and not Queue and not Death"
FAULTY = Path(__file__).parent / "faulty"
FAULTS = [
    "drops an attachment",
    "swaps two attachments",
    "reorders",
    "loses a message",
    "duplicates",
    "truncates",
    "pads to four bytes",
    "takes an empty message for a close",
    "reports disconnects early",
    "never reports disconnects",
    "leaks a descriptor",
    "answers a timeout early",
    "raises TimeoutError",
    "reuses its buffer",
    "blocks in send",
    "gives a wrong kind",
    "a failed send takes the receivers",
    "accepts without a receiver",
    "calls a broken channel disconnected",
    "a clone takes the original's place",
    "a moved receiver is empty",
    "close does not wake",
    "copies shared memory",
    "select gives a wrong id",
    "select answers a timeout early",
    "select ignores its limit",
    "starves a receiver",
    "reports a close twice",
    "never reports a close in a set",
    "lets a second client in",
]

# Fault -> the backend in which it is made, and the test that is to find it.
FOUND_BY = {
    "never unlinks the files of regions": ("inprocess", "test_transport_shared_memory_clone"),
    "opens the folder of its servers to all": ("inprocess", "nobody_else_can_enter"),
    "names its servers by the clock": ("inprocess", "names_cannot_be_guessed"),
    "lets an error of the engine escape": ("inprocess", "refusals_are_the_librarys_errors"),
    "keeps the unread payloads of dead receivers": ("inprocess", "unread_messages_are_freed"),
    "leaves a thread for each wait": ("inprocess", "test_transport_when_ready"),
    "a forked child uses its parent's connection": ("unix", "child_has_connections_of_its_own"),
    "has no way into another process": ("unix", "arguments_of_a_spawned_process"),
}

FAULTS_OF_CODECS = [
    "has another name",
    "raises ValueError for a type",
    "does not attach",
    "forgets the slot",
    "redeems nothing",
    "hides what it cannot encode",
    "pickles what it does not know",
    "changes what it encodes",
    "reuses its buffer",
    "is for one thread",
    "returns the object itself",
    "takes bytes only",
    "unpickles what looks like a pickle",
    "exits on garbage",
    "remembers the last message",
    "makes tuples of lists",
    "rounds",
]
BACKEND_KIT = ("ipc_core.testing.suite", "--ipc-backend", "faulty")
CODEC_KIT = ("ipc_core.testing.codec_suite", "--ipc-codec", "faulty")


def kit(
    fault: str, *arguments: str, which: tuple[str, ...] = BACKEND_KIT, base: str = "inprocess"
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "FAULT": fault,
        **({"FAULT_BASE": base} if which is BACKEND_KIT else {}),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FAULTY), os.environ.get("PYTHONPATH")])),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line",
         "-p", "ipc_core.testing.plugin", "--pyargs", *which, "--timeout", "10", *arguments],
        env=environment, capture_output=True, text=True, timeout=300, check=False, cwd=FAULTY,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_without_a_fault_the_wrapper_passes() -> None:
    run = kit("", "--timeout", "60")
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str) -> None:
    run = kit(fault, "-k", QUICK)
    if run.returncode == pytest.ExitCode.OK:
        run = kit(fault)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, f"nobody noticed: {run.stdout[-2000:]}"
    assert "1 failed" in run.stdout or "error" in run.stdout or "Timeout" in run.stderr


@pytest.mark.parametrize("base", ["inprocess", "unix"])
def test_without_a_fault_the_wrapper_passes_where_faults_are_found(base: str) -> None:
    run = kit("", "-k", " or ".join(test for _, test in FOUND_BY.values()), base=base)
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_fault_is_found_by_its_test(fault: str) -> None:
    base, test = FOUND_BY[fault]
    run = kit(fault, "-k", test, base=base)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, f"nobody noticed: {run.stdout[-2000:]}"
    assert re.search(f"(FAILED|ERROR) .*{test}", run.stdout), run.stdout


def test_without_a_fault_the_wrapped_codec_passes() -> None:
    run = kit("", which=CODEC_KIT)
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize("fault", FAULTS_OF_CODECS)
def test_a_fault_of_a_codec_is_caught(fault: str) -> None:
    run = kit(fault, which=CODEC_KIT)
    if fault == "has another name":
        assert run.returncode == pytest.ExitCode.USAGE_ERROR
        assert "registered as 'faulty' but calls itself" in run.stderr
        return
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, f"nobody noticed: {run.stdout[-2000:]}"
    assert "1 failed" in run.stdout or "1 error" in run.stdout
