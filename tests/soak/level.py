"""The open resources of a process, and the memory it uses of its own."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ipc_core

Resources = dict[str, int]


def resources() -> Resources:
    maps = Path("/proc/self/maps").read_text()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mappings": maps.count("memfd:ipc"),
        "threads": threading.active_count(),
    }


def warm_up() -> Resources:
    """Use everything once, so that resources kept for life exist; then count."""
    members = ipc_core.IpcReceiverSet()
    with ipc_core.Router() as router, members:
        for add in (members.add, router.route_to_queue):
            tx, rx = ipc_core.channel()
            region = ipc_core.IpcSharedMemory.from_byte(1, 10_000)
            add(rx)
            tx.send((bytes(1 << 20), region))
            region.close()
            tx.close()
    server, name = ipc_core.IpcOneShotServer[int].new()
    with ipc_core.IpcSender[int].connect(name) as client:
        client.send(1)
        server.accept()[0].close()
    gc.collect()
    return resources()


def differences(before: Resources) -> list[str]:
    """Describe each difference, after a moment in which threads may still close resources."""
    gc.collect()
    within(3, lambda: resources() == before)
    after = resources()
    return [f"{after[what]} {what}, {before[what]} before" for what in before
            if after[what] != before[what]]  # fmt: skip


def within(seconds: float, reached: Callable[[], bool]) -> bool:
    """Look until `reached()`; return whether that was in time."""
    until = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def private_memory() -> int:
    """Bytes in memory that only this process uses."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10
