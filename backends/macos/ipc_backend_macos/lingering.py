"""The wait of a process that ends for messages that it still holds."""

from __future__ import annotations

import atexit
import time

from ipc_backend_macos import locking
from ipc_backend_macos.outgoing import OutgoingMessage
from ipc_backend_macos.remote_port import receivers_here, remote_ports

GRACE = 0.5
"""Seconds without progress after which a process that ends gives up the messages it holds."""

_STEP = 0.005

_registered = False


def linger_at_exit() -> None:
    """Let a normal exit of this process wait as long as its held messages are being received."""
    global _registered
    if not _registered:
        _registered = True
        atexit.register(_linger)


def held_messages(*, for_others: bool = False) -> int:
    """Count the messages held in this process for room in a queue or for a gate; `for_others`
    leaves out those that only this process could receive."""
    with locking.LOCK:
        return sum(
            isinstance(item, OutgoingMessage)
            for port in remote_ports.values()
            if not (for_others and port.name in receivers_here)
            for item in port.held
        )


def _linger() -> None:
    held, give_up = held_messages(for_others=True), time.monotonic() + GRACE
    while held and time.monotonic() < give_up:
        time.sleep(_STEP)
        before, held = held, held_messages(for_others=True)
        if held != before:
            give_up = time.monotonic() + GRACE
