"""Ends and regions as arguments of multiprocessing's processes: `process_arguments.py METHOD`."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

import ipc_core as ipc

QUEUED = 3000  # more than a socket holds
SECONDS = 30


@dataclass
class Job:
    """A holder of ends, since arguments are rarely bare."""

    inside: dict[str, Any]


def double(tx: ipc.IpcSender[int], rx: ipc.IpcReceiver[int], job: Job) -> None:
    """Send back twice each number until a None; then write into the region."""
    raw, region = job.inside["bytes"], job.inside["region"]
    for number in rx:
        if number is None:
            break
        tx.send(2 * number)
    raw.send(b"done")
    region.buffer_mut()[:4] = b"done"
    assert not [fd for fd in os.listdir("/proc/self/fd") if _inherited(int(fd))]


def _inherited(fd: int) -> bool:
    """Whether an end of ours would reach a program that this process starts."""
    try:
        return os.get_inheritable(fd) and "socket" in os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False


def process(context: Any) -> None:
    tx, rx = ipc.channel()
    to_child, from_parent = ipc.channel()
    raw, raw_rx = ipc.bytes_channel()
    region = ipc.IpcSharedMemory.from_byte(0, 100)
    for number in range(QUEUED):
        to_child.send(number)
    assert from_parent.recv() == 0
    job = Job({"bytes": raw, "region": region})
    child = context.Process(target=double, args=(tx, from_parent, job))
    child.start()
    for end in (tx, from_parent, raw):
        end.close()
    to_child.send(None)
    assert [rx.try_recv_timeout(SECONDS) for _ in range(1, QUEUED)] == list(range(2, 2 * QUEUED, 2))
    assert raw_rx.try_recv_timeout(SECONDS) == b"done"
    child.join(SECONDS)
    assert child.exitcode == 0
    assert bytes(region.buffer[:4]) == b"done"
    for receiver in (rx, raw_rx):
        try:
            receiver.try_recv_timeout(SECONDS)
        except ipc.Disconnected:
            pass


def write(*ends: Any) -> None:
    """Send its place in the arguments over each sender, and write it into each region."""
    for place, end in enumerate(ends):
        if isinstance(end, ipc.IpcSharedMemory):
            end.buffer_mut()[place : place + 1] = bytes([place])
        else:
            end.send(place)
        end.close()


def clones(context: Any) -> None:
    """Arguments that share their parts."""
    tx, rx = ipc.channel()
    region = ipc.IpcSharedMemory.from_byte(255, 5)
    ends = (tx, region, tx.clone(), region.clone())
    child = context.Process(target=write, args=ends)
    child.start()
    child.join(SECONDS)
    assert child.exitcode == 0
    assert bytes(region.buffer) == bytes([255, 1, 255, 3, 255])
    for end in ends:
        end.close()
    assert list(rx) == [0, 2]


_results: ipc.IpcSender[Any]


def initialize(results: ipc.IpcSender[Any]) -> None:
    global _results
    _results = results


def report(number: int) -> int:
    _results.send(number)
    return number


def pools(context: Any) -> None:
    tx, rx = ipc.channel()
    with context.Pool(2, initialize, (tx,)) as pool:
        assert pool.map(report, range(20)) == list(range(20))
        with pytest.raises(TypeError, match=r"multiprocessing\.Process"):
            pool.map(print, [tx])  # a task's argument is no argument of a process
    with ProcessPoolExecutor(2, context, initialize, (tx,)) as executor:
        assert list(executor.map(report, range(20, 40))) == list(range(20, 40))
    tx.close()
    assert sorted(rx) == list(range(40))


if __name__ == "__main__":
    chosen = multiprocessing.get_context(sys.argv[1])
    process(chosen)
    clones(chosen)
    pools(chosen)
