"""Programs that receive objects they cannot import."""

from __future__ import annotations

from typing import Any

from ipc_core import DecodeError
from ipc_core.testing.bag import Bag
from ipc_core.testing.programs import _meet


def apply(name: str) -> None:
    """Call each function that arrives with its argument, and send the result, until None."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        while (work := from_parent.recv()) is not None:
            function, argument = work
            to_parent.send(function(argument))


def refuse_pickles(name: str) -> None:
    """Run where IPC_CORE_SAFE is set: report the outcome of receiving an object."""
    with Bag() as bag:
        to_parent = bag.connect(name)  # sending still works
        object_tx, object_rx = bag.channel()
        bytes_tx, bytes_rx = bag.bytes_channel()
        object_tx.send({"an": "object"})
        bytes_tx.send(b"bytes")
        answers: list[Any] = []
        try:
            object_rx.recv()
        except DecodeError as error:
            answers.append(str(error))
        answers.append(bytes_rx.recv())
        to_parent.send(answers)
