"""Programs of hostile children, which abuse the sender that a server's name gives them."""

from __future__ import annotations

import os
from typing import Any

import ipc_core
from ipc_core.testing.bag import Bag


class Slot:
    """An object that encodes as an endpoint of a class, with the number of an attachment."""

    def __init__(self, end: type[Any], slot: object) -> None:
        self._end = end
        self._slot = slot

    def __reduce__(self) -> tuple[Any, ...]:
        return _redeem, (self._end, self._slot)


def _redeem(end: type[Any], slot: object) -> object:
    made: Any = object.__new__(end)
    made.__setstate__(slot)
    return made


def forge_slots(name: str) -> None:
    """Refer to attachments that are not there, are something else, or are used already."""
    with Bag() as bag:
        tx = bag.connect(name)
        sub_tx, sub_rx = bag.channel()
        tx.send(sub_tx)
        tx.send([sub_tx, Slot(ipc_core.IpcReceiver, 0)])
        tx.send([sub_tx, Slot(ipc_core.IpcSender, 7)])
        tx.send([sub_rx, Slot(ipc_core.IpcReceiver, 0)])
        tx.send("the last")


def send_garbage_and_die(name: str) -> None:
    """Send half a message and exit."""
    with ipc_core.IpcBytesSender.connect(name) as tx:
        tx.send(b"\x80\x05N.")
        tx.send(b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f")
        os._exit(0)


def forge_first_message(name: str) -> None:
    """Use an attachment of the message that a server's accept returns twice."""
    with Bag() as bag:
        sub_tx, sub_rx = bag.channel()
        tx = bag.connect(name)
        tx.send([sub_rx, Slot(ipc_core.IpcReceiver, 0)])
        assert sub_tx.wait_closed(30)
        assert tx.wait_closed(30)
