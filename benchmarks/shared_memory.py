"""Shared memory of 4 MiB, passed to and fro by two threads, each of which adds 1 to every byte.

The region itself travels in our message; the peer sends the name of a
`multiprocessing.shared_memory.SharedMemory` over a Pipe, and opens it again at every step.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from interleave import Work, main

import ipc_core
from ipc_core import IpcSharedMemory

SIZE = 4 << 20
PLUS_ONE = bytes((byte + 1) % 256 for byte in range(256))


def ping_pong(
    there: tuple[Any, Any],
    back: tuple[Any, Any],
    first: Any,
    step: Callable[[Any], Any],
    count: int,
) -> tuple[float, Any]:
    """Return the seconds from the first send to the end of both threads, and the last message."""

    def partner() -> None:
        for _ in range(count // 2):
            back[0].send(step(there[1].recv()))

    thread = threading.Thread(target=partner)
    started = time.perf_counter()
    thread.start()
    passed = first
    for _ in range(count // 2):
        there[0].send(passed)
        passed = step(back[1].recv())
    thread.join()
    taken = time.perf_counter() - started
    for end in (*there, *back):
        end.close()
    return taken, passed


def check(data: bytes, count: int) -> None:
    assert data == bytes(((2 * (count // 2) + 1) % 256,)) * SIZE


def add_in_place(view: memoryview) -> None:
    view[:] = bytes(view).translate(PLUS_ONE)


def our_step_in_place(region: IpcSharedMemory) -> IpcSharedMemory:
    add_in_place(region.buffer_mut())
    return region


def our_step_by_copy(region: IpcSharedMemory) -> IpcSharedMemory:
    return IpcSharedMemory.from_bytes(region.take().translate(PLUS_ONE))


def ours(step: Callable[[IpcSharedMemory], IpcSharedMemory], count: int) -> float:
    first = IpcSharedMemory.from_byte(1, SIZE)
    taken, last = ping_pong(ipc_core.channel(), ipc_core.channel(), first, step, count)
    check(last.take(), count)
    return taken


def their_step_in_place(name: str) -> str:
    region = SharedMemory(name)
    add_in_place(region.buf)
    region.close()
    return name


def their_step_by_copy(name: str) -> str:
    old = SharedMemory(name)
    new = SharedMemory(create=True, size=SIZE)
    new.buf[:SIZE] = bytes(old.buf).translate(PLUS_ONE)
    new.close()
    old.close()
    old.unlink()
    return new.name


def theirs(step: Callable[[str], str], count: int) -> float:
    first = SharedMemory(create=True, size=SIZE)
    first.buf[:SIZE] = b"\1" * SIZE
    there, back = multiprocessing.Pipe(duplex=False), multiprocessing.Pipe(duplex=False)
    taken, name = ping_pong(there[::-1], back[::-1], first.name, step, count)
    first.close()
    last = SharedMemory(name)
    check(bytes(last.buf[:SIZE]), count)
    last.close()
    last.unlink()
    return taken


WORKS = [
    Work(f"4 MiB passed {count} times, {how}", partial(ours, our_step), partial(theirs, their_step),
         count, "SharedMemory", rounds=3)
    for how, our_step, their_step in (
        ("changed in place", our_step_in_place, their_step_in_place),
        ("copied", our_step_by_copy, their_step_by_copy),
    )
    for count in (100, 125)
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
