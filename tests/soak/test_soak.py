"""The soak for some seconds: it finds nothing in working code, and something in seeded faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipc_core import IpcSharedMemory
from soak.ledger import CLOSED, DRAINED, Account, Ledger

TESTS = Path(__file__).parents[1]


def soak(seconds: float, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "soak", "--seconds", str(seconds)],
        cwd=TESTS, env=os.environ | environment, capture_output=True, text=True, timeout=110,
        check=False,
    )  # fmt: skip


def test_nothing_is_lost_or_left() -> None:
    done = soak(5)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    seed, summary = done.stdout.splitlines()
    assert seed.startswith("seed ")
    assert "killed" in summary
    assert "no violations" in summary


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("loses a message", "after"),
        ("drops an attachment", "attachment"),
        ("leaks a descriptor", "descriptors"),
        ("never reports disconnects", "not disconnected"),
    ],
)
def test_a_fault_is_caught(fault: str, said: str) -> None:
    path = filter(None, [str(TESTS / "packaging" / "faulty"), os.environ.get("PYTHONPATH")])
    done = soak(3, FAULT=fault, FAULT_BASE="unix", IPC_CORE_BACKEND="faulty",
                PYTHONPATH=os.pathsep.join(path), SOAK_DRAIN_SECONDS="2")  # fmt: skip
    assert done.returncode == 1
    assert said in done.stdout
    assert "no violations" not in done.stdout


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(IpcSharedMemory.from_byte(0, 48 * 300), 100)


@pytest.mark.parametrize(
    ("sent", "received", "how", "killed", "violations"),
    [
        (5, 5, DRAINED, set(), 0),
        (5, 4, DRAINED, set(), 1),
        (5, 4, DRAINED, {0}, 1),
        (5, 6, DRAINED, set(), 1),
        (5, 6, DRAINED, {0}, 0),  # sent, and killed before it was noted
        (5, 7, DRAINED, {0}, 1),
        (5, 4, CLOSED, set(), 0),
        (5, 4, 0, set(), 1),
        (5, 4, 0, {0}, 1),
        (5, 4, 0, {1}, 0),  # with its receiver
    ],
)
def test_messages_are_accounted_for(
    ledger: Ledger, sent: int, received: int, how: int, killed: set[int], violations: int
) -> None:
    """Process 0 sends to process 1."""
    channel = ledger.new_channel(1)
    flow = ledger.new_flow(0, channel)
    ledger.note_sent(flow, sent)
    ledger.note_received(flow, received)
    ledger.end(channel, how)
    account = Account(ledger, killed)
    assert len(account.violations) == violations
    assert account.channels == 1
    assert account.received == received
    ledger.close()


@pytest.mark.parametrize(
    ("number", "killed", "how", "violations"),
    [
        (4, {0}, 0, 0),  # by a sender that was killed before or while it sent
        (4, {2}, 0, 1),
        (3, {0}, DRAINED, 1),  # in a message that was accepted, and all were received
        (3, {1}, 0, 0),  # to a process that was killed
    ],
)
def test_a_receiver_under_way_is_accounted_for(
    ledger: Ledger, number: int, killed: set[int], how: int, violations: int
) -> None:
    """Process 0 sends process 2's channel to process 1."""
    carrier, channel = ledger.new_channel(1), ledger.new_channel(2)
    flow = ledger.new_flow(0, carrier)
    ledger.note_sent(flow, 3)
    ledger.note_received(flow, 3 if how == DRAINED else 0)
    ledger.ship(channel, flow, number)
    ledger.end(carrier, how)
    wrong = [text for text in Account(ledger, killed).violations if str(channel) in text.split()]
    assert len(wrong) == violations
    ledger.close()


def test_a_process_keeps_to_its_own_rows(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="all of its 100 rows"):
        for _ in range(100):
            ledger.new_channel(1)
    assert [*ledger.used()] == list(range(101, 200))
    ledger.close()


def test_room_ends_before_the_rows_do() -> None:
    ledger = Ledger(IpcSharedMemory.from_byte(0, 48 * 1000), 1000)
    while ledger.has_room(0, 1.5):
        ledger.new_channel(0)
    assert len([*ledger.used()]) == 798
    ledger.close()
