"""Two threads pass 4 MiB of shared memory to and fro, and each adds 1 to every byte.

The region itself travels in our message; the peer sends the name of a
`multiprocessing.shared_memory.SharedMemory` over a Pipe, and attaches to it at every hop.
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
    there: tuple[Any, Any], back: tuple[Any, Any], first: Any, hop: Callable[[Any], Any], hops: int
) -> tuple[float, Any]:
    """Seconds from the first send until both threads are done, and what was passed last."""

    def partner() -> None:
        for _ in range(hops // 2):
            back[0].send(hop(there[1].recv()))

    thread = threading.Thread(target=partner)
    started = time.perf_counter()
    thread.start()
    passed = first
    for _ in range(hops // 2):
        there[0].send(passed)
        passed = hop(back[1].recv())
    thread.join()
    taken = time.perf_counter() - started
    for end in (*there, *back):
        end.close()
    return taken, passed


def check(data: bytes, hops: int) -> None:
    assert data == bytes(((2 * (hops // 2) + 1) % 256,)) * SIZE


def add_in_place(view: memoryview) -> None:
    view[:] = bytes(view).translate(PLUS_ONE)


def our_hop_in_place(region: IpcSharedMemory) -> IpcSharedMemory:
    add_in_place(region.buffer_mut())
    return region


def our_hop_by_copy(region: IpcSharedMemory) -> IpcSharedMemory:
    return IpcSharedMemory.from_bytes(region.take().translate(PLUS_ONE))


def ours(hop: Callable[[IpcSharedMemory], IpcSharedMemory], hops: int) -> float:
    first = IpcSharedMemory.from_byte(1, SIZE)
    taken, last = ping_pong(ipc_core.channel(), ipc_core.channel(), first, hop, hops)
    check(last.take(), hops)
    return taken


def their_hop_in_place(name: str) -> str:
    region = SharedMemory(name)
    add_in_place(region.buf)
    region.close()
    return name


def their_hop_by_copy(name: str) -> str:
    old = SharedMemory(name)
    new = SharedMemory(create=True, size=SIZE)
    new.buf[:SIZE] = bytes(old.buf).translate(PLUS_ONE)
    new.close()
    old.close()
    old.unlink()
    return new.name


def theirs(hop: Callable[[str], str], hops: int) -> float:
    first = SharedMemory(create=True, size=SIZE)
    first.buf[:SIZE] = b"\1" * SIZE
    there, back = multiprocessing.Pipe(duplex=False), multiprocessing.Pipe(duplex=False)
    taken, name = ping_pong(there[::-1], back[::-1], first.name, hop, hops)
    first.close()
    last = SharedMemory(name)
    check(bytes(last.buf[:SIZE]), hops)
    last.close()
    last.unlink()
    return taken


WORKS = [
    Work(f"4 MiB passed {hops} times, {how}", partial(ours, our_hop), partial(theirs, their_hop),
         hops, "SharedMemory", rounds=3)
    for how, our_hop, their_hop in (
        ("changed in place", our_hop_in_place, their_hop_in_place),
        ("copied", our_hop_by_copy, their_hop_by_copy),
    )
    for hops in (100, 125)
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
