"""The declared state of the backend, and the time of a wait. Nothing here runs on macOS."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from typing import Any

import pytest
from ipc_backend_macos import buffers, kernel, mach
from ipc_backend_macos.backend import MacosBackend

from ipc_core.spi import IpcIOError


def test_backends_calls_it_experimental() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ipc_core", "backends"],
        capture_output=True, text=True, timeout=60, check=True, env=os.environ | {"COLUMNS": "300"},
    )  # fmt: skip
    row = next(line for line in done.stdout.splitlines() if "ipc-backend-macos" in line)
    assert "experimental: never run on a Mac" in row


def test_capabilities_are_those_of_the_readme() -> None:
    from pathlib import Path

    text = (Path(__file__).parent.parent / "README.md").read_text()
    claimed = [c.name for c in type(MacosBackend.capabilities) if c in MacosBackend.capabilities]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == claimed


class Script:
    """Bindings whose mach_msg returns codes from a list, each after some seconds."""

    def __init__(self, *steps: tuple[int, float]) -> None:
        self.now = 100.0
        self.steps = list(steps)
        self.asked: list[tuple[int, int]] = []

    def mach_task_self(self) -> int:
        return 7

    def mach_msg(
        self, buffer: Any, option: int, send: int, room: int, name: int, timeout: int, notify: int
    ) -> int:
        assert option & mach.MACH_RCV_TIMEOUT
        assert option & mach.MACH_RCV_INTERRUPT
        self.asked.append((room, timeout))
        code, seconds = self.steps.pop(0)
        self.now += seconds
        if code == mach.MACH_RCV_TOO_LARGE:
            struct.pack_into("<I", buffer, 4, 50_000)
        return code

    def monotonic(self) -> float:
        return self.now


def scripted(monkeypatch: pytest.MonkeyPatch, *steps: tuple[int, float]) -> Script:
    script = Script(*steps)
    monkeypatch.setattr(kernel, "_bindings", script)
    monkeypatch.setattr(buffers, "time", script)
    monkeypatch.setattr(buffers, "_spare", [])
    return script


def test_a_large_message_does_not_renew_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, (mach.MACH_RCV_TOO_LARGE, 0.4), (mach.MACH_MSG_SUCCESS, 0.0))
    message = buffers.next_message(0x103, 101.0)
    assert message is not None
    (usual, first), (larger, second) = script.asked
    assert usual < 50_000
    assert larger == 50_000 + mach.MAX_TRAILER_SIZE
    assert (first, second) == (1000, 600)


@pytest.mark.parametrize("code", [mach.MACH_RCV_INTERRUPTED, mach.MACH_RCV_TIMED_OUT])
def test_an_interruption_returns_to_python(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Signal handlers run then; a caller goes on waiting until the same deadline."""
    script = scripted(monkeypatch, (code, 0.25), (code, 0.25))
    for _ in range(2):
        assert buffers.next_message(0x103, 101.0) is None
    assert [timeout for _, timeout in script.asked] == [1000, 750]


def test_a_deadline_in_the_past_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, (mach.MACH_RCV_TIMED_OUT, 0.0))
    assert buffers.next_message(0x103, 0) is None
    assert script.asked[0][1] == 0


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.0004, 1), (0.0015, 2), (1e7, 0x7FFFFFFF), (1e300, 0x7FFFFFFF)]
)
def test_timeouts_are_rounded_up_and_cut(
    monkeypatch: pytest.MonkeyPatch, seconds: float, milliseconds: int
) -> None:
    script = scripted(monkeypatch, (mach.MACH_RCV_TIMED_OUT, 0.0))
    codes: list[int] = []
    kernel.receive(mach.buffer_of(bytes(100)), 0x103, seconds, 0, codes)
    assert script.asked[0][1] == milliseconds


def test_a_receive_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, (0x10004002, 0.0))
    with pytest.raises(IpcIOError, match="0x10004002"):
        buffers.next_message(0x103, 101.0)
