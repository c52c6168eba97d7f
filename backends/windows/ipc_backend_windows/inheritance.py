"""Handles among the arguments of a child process that multiprocessing starts."""

from __future__ import annotations

from typing import Any

from ipc_backend_windows import wire
from ipc_backend_windows.attachments import Makers, unpack
from ipc_backend_windows.errors import translated
from ipc_backend_windows.wire import Entry
from ipc_core.spi import Attachment, Kind

Inheritable = tuple[int, int, int, int, bytes]
"""The fields of an Entry, to be pickled."""


def hand_over(handle: Any) -> Inheritable:
    """Return the entry of a handle, with kernel handles that are in the child's table already.

    Marks the channel of a receiver as shared, since both processes have it from then on.
    """
    from multiprocessing.context import get_spawning_popen

    popen: Any = get_spawning_popen()
    entry, queue, end_loan = handle.lend()
    try:
        if entry.kind == Kind.RECEIVER:
            with queue.locked():
                queue.set_flag(wire.SHARED, True)
        numbers = [
            popen.duplicate_for_child(number) if number else 0
            for number in (entry.first, entry.second)
        ]
        return entry.kind, entry.number, numbers[0], numbers[1], entry.identity
    finally:
        end_loan(False)


def take_over(inheritable: Any, makers: Makers) -> Attachment:
    """Make the handle for an entry from the parent. Raises IpcIOError."""
    try:
        return unpack(b"", [Entry(*inheritable)], makers)[1][0]
    except OSError as error:
        raise translated(error) from error
