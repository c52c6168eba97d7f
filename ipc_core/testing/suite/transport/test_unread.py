"""Room that unread messages take."""

from __future__ import annotations

import gc
import os
import tracemalloc
from contextlib import suppress

import pytest

from ipc_core.spi import Backend, Capability, Disconnected, OsIpcReceiver, OsIpcSender
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.leftovers import PATIENCE, files
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
    """Bytes in the objects of this process and in files. The memory of the whole process would
    tell more of an engine in C, but depends on the reserves of allocators for each thread."""
    gc.collect()
    return {
        "objects": tracemalloc.get_traced_memory()[0],
        "files": sum(map(size, files())),
    }


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
            fill_and_close()  # the first one may make objects that stay
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

        def fill_and_kill() -> None:
            server, name = serve(bag, backend)
            child = children.start(programs.hold_unread, name)
            receiver, _, (to_child,) = accept(bag, server)
            for _ in range(ROUNDS):
                tx, rx = filled(backend)
                to_child.send(b"", [rx])
                tx.close()
                assert receiver.recv(30)[0] == b"holding"
            child.kill()
            child.wait(30)
            with pytest.raises(Disconnected):
                receiver.recv(30)

        tracemalloc.start()
        try:
            fill_and_kill()  # the first one may make objects that stay
            before = held()
            fill_and_kill()
            is_level(before)
        finally:
            tracemalloc.stop()


def is_level(before: dict[str, int]) -> None:
    """Wait until there is about as much as before of everything."""

    def more() -> dict[str, int]:
        return {what: now - before[what] for what, now in held().items()}

    with suppress(TimeoutError):
        wait_until(lambda: max(more().values()) < SPARE, "unread messages are freed", PATIENCE)
    kept = more()
    assert max(kept.values()) < SPARE, f"of {ROUNDS * UNREAD * MIB} unread bytes remain: {kept}"
