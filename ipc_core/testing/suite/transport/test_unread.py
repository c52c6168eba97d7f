"""Room that unread messages take."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from contextlib import suppress

import pytest

from ipc_core.spi import Backend, Capability, OsIpcReceiver, OsIpcSender
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.leftovers import files
from ipc_core.testing.level import make_channel
from ipc_core.testing.marks import requires
from ipc_core.testing.payloads import MIB, pattern
from ipc_core.testing.programs import transport as programs
from ipc_core.testing.states import wait_until
from ipc_core.testing.suite.transport.test_processes import accept, serve

UNREAD = 8
"""Messages of 1 MiB that a channel holds when its receiver goes."""

ROUNDS = 8
SPARE = ROUNDS * UNREAD * MIB // 3


def filled(backend: Backend) -> tuple[OsIpcSender, OsIpcReceiver]:
    """A channel full of unread messages."""
    tx, rx = make_channel(backend)
    for number in range(UNREAD):
        tx.send(pattern(MIB, flag=number))
    return tx, rx


def held() -> dict[str, int]:
    """Bytes in the objects of this process, in its memory, and in files, as far as they show."""
    gc.collect()
    return {
        "objects": tracemalloc.get_traced_memory()[0],
        "memory": resident(),
        "files": sum(map(size, files())),
    }


def resident() -> int:
    if sys.platform != "win32":
        with suppress(OSError), open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def size(path: str) -> int:
    with suppress(OSError):
        return os.lstat(path).st_size
    return 0


class TestTransportUnread:
    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("first", ["sender", "receiver"])
    def test_transport_unread_messages_are_freed(
        self, bag: Bag, backend: Backend, first: str
    ) -> None:
        """B83: payloads that nobody can read any more take no room."""

        def fill_and_close() -> None:
            tx, rx = filled(backend)
            for end in (tx, rx) if first == "sender" else (rx, tx):
                end.close()

        tracemalloc.start()
        try:
            fill_and_close()  # some keep room for the next message
            before = held()
            for _ in range(ROUNDS):
                fill_and_close()
            is_level(before)
        finally:
            tracemalloc.stop()

    @requires(Capability.CROSS_PROCESS, Capability.UNBOUNDED)
    def test_transport_unread_messages_of_a_killed_process_are_freed(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B83: neither do those whose receivers were in a process that was killed."""
        server, name = serve(bag, backend)
        child = children.start(programs.hold_unread, name)
        receiver, _, (to_child,) = accept(bag, server)
        tracemalloc.start()
        try:
            before = held()
            for _ in range(ROUNDS):
                tx, rx = filled(backend)
                to_child.send(b"", [rx])
                tx.close()
                assert receiver.recv(30)[0] == b"holding"
            child.kill()
            child.wait(30)
            is_level(before)
        finally:
            tracemalloc.stop()


def is_level(before: dict[str, int]) -> None:
    """Wait until there is about as much as before of everything."""

    def kept() -> dict[str, int]:
        return {what: now - before[what] for what, now in held().items()}

    wait_until(
        lambda: max(kept().values()) < SPARE,
        f"of {ROUNDS * UNREAD * MIB} unread bytes most are freed; kept are now {kept()}",
        5,
    )
