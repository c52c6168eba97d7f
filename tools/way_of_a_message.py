"""Count the calls and the moves between files on the way of a message.

    python tools/way_of_a_message.py [--backend NAME] [--show]

A call is a Python function of the core or the backend that runs; a move is a call, or a return,
after which the next function that is called stands in another file. `--show` prints each call.
The ways are walked once before they are counted, so imports and first uses do not count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import ipc_core

Call = tuple[str, str]
"""The file and the function, in the order in which they were entered."""


def calls_of(step: Callable[[], object], places: tuple[str, ...]) -> list[Call]:
    """Run a step and return the calls that it makes in the given packages."""
    found: list[Call] = []

    def record(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and any(place in path.parts for place in places):
            found.append((f"{path.parent.name}/{path.name}", frame.f_code.co_name))

    sys.setprofile(record)
    try:
        step()
    finally:
        sys.setprofile(None)
    return found


def moves(calls: list[Call]) -> int:
    """Return the number of calls that stand in another file than the call before."""
    return sum(one[0] != other[0] for one, other in pairwise(calls))


def ways(backend: str) -> dict[str, list[Call]]:
    """Walk the ways of a small message and of a sender, there and back."""
    places = ("ipc_core", f"ipc_backend_{backend}")
    tx, rx = ipc_core.channel(backend=backend)
    other, _kept = ipc_core.channel(backend=backend)
    kept: list[Any] = []
    found = {}
    for title, message in (("a small message", {"job": 1}), ("a sender", other)):
        tx.send(message)
        kept.append(rx.recv())
        found[f"send {title}"] = calls_of(lambda message=message: tx.send(message), places)  # type: ignore[misc]
        found[f"receive {title}"] = calls_of(lambda: kept.append(rx.recv()), places)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="unix")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    print("| way | calls | moves between files |\n| --- | --- | --- |")
    for title, calls in ways(arguments.backend).items():
        print(f"| {title} | {len(calls)} | {moves(calls)} |")
        if arguments.show:
            print(*(f"    {file}: {function}" for file, function in calls), sep="\n")


if __name__ == "__main__":
    main()
