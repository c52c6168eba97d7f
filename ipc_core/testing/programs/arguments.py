"""A program that hands ends to a process that multiprocessing starts."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

import ipc_core
from ipc_core.testing.bag import Bag
from ipc_core.testing.waiting import BOUND


def hand_over(name: str, *kinds: str) -> None:
    """Start a process by spawn with ends as arguments, and use the ends that this one keeps.
    Report "done", or the reason why the backend does not do it."""
    with Bag() as bag:
        report = bag.connect(name)
        tx, rx = bag.channel()
        to_child, from_parent = bag.channel()
        regions = [bag.region(bytes(100)) for kind in kinds if kind == "region"]
        to_child.send("queued before")
        child = multiprocessing.get_context("spawn").Process(
            target=answer, args=(tx, from_parent, regions)
        )
        try:
            child.start()
        except ipc_core.NotSupportedError as error:
            report.send(str(error))
            return
        from_parent.close()
        to_child.send("sent after")
        for _ in range(2):
            assert rx.try_recv_timeout(BOUND)[0] == "from the child"
        child.join(BOUND)
        assert child.exitcode == 0
        assert [region.buffer[0] for region in regions] == [7] * len(regions)
        tx.send("the parent's own")
        assert rx.try_recv_timeout(BOUND) == "the parent's own"
        tx.close()
        assert not list(rx)
        report.send("done")


def answer(
    tx: ipc_core.IpcSender[Any],
    rx: ipc_core.IpcReceiver[Any],
    regions: Sequence[ipc_core.IpcSharedMemory],
) -> None:
    """Answer two messages, and write into the regions."""
    for region in regions:
        region.buffer_mut()[0] = 7
    for _ in range(2):
        tx.send(("from the child", rx.try_recv_timeout(BOUND)))
