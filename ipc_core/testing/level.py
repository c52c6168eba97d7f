"""The number of open descriptors, which must be the same after a test as before."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ipc_core.spi import Backend, Capability, OsIpcReceiver, OsIpcSender

CAPACITY = 1024


def descriptors() -> int:
    """Return the number of descriptors (on Windows, handles) that this process has open; 0
    where the system does not tell."""
    if sys.platform == "win32":
        from ipc_core.testing.open_handles import handles

        return handles()
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


_warm: set[str] = set()


def warm_up(backend: Backend) -> None:
    """Open the resources that the backend keeps for the rest of the process."""
    sender, receiver = make_channel(backend)
    sender.send(b"x")
    receiver.recv(None)
    sender.close()
    receiver.close()
    if backend.name not in _warm:
        _warm.add(backend.name)
        for part in (_warm_up_sets, _warm_up_servers, _warm_up_memory):
            with suppress(Exception):  # failures here have tests of their own
                part(backend)


def make_channel(backend: Backend) -> tuple[OsIpcSender, OsIpcReceiver]:
    """A channel of the backend itself, below the core; bounded if it has no other."""
    unbounded = Capability.UNBOUNDED in backend.capabilities
    return backend.channel(None if unbounded else CAPACITY)


def _warm_up_sets(backend: Backend) -> None:
    sender, receiver = make_channel(backend)
    if receiver.fileno() is None:
        receiver.when_ready(int)()
    members = backend.receiver_set()
    members.add(receiver, 0)
    sender.send(b"x")
    members.select(1)
    members.close()
    sender.close()


def _warm_up_servers(backend: Backend) -> None:
    server = backend.one_shot_server()
    sender = backend.connect(server.name)
    sender.send(b"x")
    receiver, _, _ = server.accept(1)
    for end in (sender, receiver, server):
        end.close()


def _warm_up_memory(backend: Backend) -> None:
    if Capability.SHARED_MEMORY in backend.capabilities:
        backend.shared_memory(b"x").close()
