"""The codec msgspec against the default codec: the same small message, typed and not."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from interleave import Work, main
from streaming import MESSAGE, stream

import ipc_core

try:
    import msgspec
except ImportError:
    raise SystemExit("this compares with msgspec; try: pip install 'ipc-core[msgspec]'") from None


class Job(msgspec.Struct):
    """The content of `MESSAGE`, as a type."""

    id: int
    name: str
    args: list[int]
    ok: bool


JOB = Job(**MESSAGE)  # type: ignore[arg-type]


def streamed(cpus: tuple[int, int], typed: bool, count: int) -> float:
    if typed:
        return stream(*ipc_core.channel(Job, codec="msgspec"), JOB, cpus, count)
    return stream(*ipc_core.channel(), MESSAGE, cpus, count)


def to_itself(typed: bool, count: int) -> float:
    """Return the seconds of `count` messages that a process sends and then receives."""
    ends: tuple[Any, Any] = ipc_core.channel(Job, codec="msgspec") if typed else ipc_core.channel()
    message = JOB if typed else MESSAGE
    with ends[0] as tx, ends[1] as rx:
        started = time.perf_counter()
        for _ in range(count):
            tx.send(message)
            rx.recv()
        return time.perf_counter() - started


WORKS = [
    Work("small message to itself, msgspec", partial(to_itself, True),
         partial(to_itself, False), 4000, peer="default codec", goal=0.9),
    *(
        Work(f"small message streamed, msgspec, {where}", partial(streamed, cpus, True),
             partial(streamed, cpus, False), 4000, peer="default codec", goal=0.9)
        for where, cpus in (("one core", (0, 0)), ("two cores", (0, 1)))
    ),
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
