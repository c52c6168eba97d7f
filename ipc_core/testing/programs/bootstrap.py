"""Programs of the bootstrap tests' child processes. Each is given one-shot servers' names."""

from __future__ import annotations

import ipc_core
from ipc_core.testing.bag import Bag

LARGE = 64 << 20


def leave_early(name: str) -> None:
    """Exit without connecting."""


def stay_silent(name: str, report: str) -> None:
    """Connect and report it; send the first message only when told to."""
    with Bag() as bag:
        tx = bag.connect(name)
        go_tx, go_rx = bag.channel()
        bag.connect(report).send(go_tx)
        tx.send(go_rx.recv())


def say_much(name: str, report: str) -> None:
    """Connect, report it, and send large messages until killed."""
    with Bag() as bag:
        tx = bag.connect(name)
        large = bytes(LARGE)
        bag.connect(report).send("connected")
        while True:
            tx.send(large)


def come_second(name: str, report: str) -> None:
    """Report the error of a client for which there is no server."""
    with Bag() as bag:
        try:
            ipc_core.IpcSender[str].connect(name)
        except ipc_core.IpcIOError as error:
            bag.connect(report).send(str(error))
