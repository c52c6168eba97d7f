"""Handles among the arguments of a process that multiprocessing starts."""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

from ipc_backend_unix.attachments import Makers
from ipc_core.spi import Attachment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_passed: WeakKeyDictionary[Any, dict[int, Any]] = WeakKeyDictionary()
"""The duplicates given to each starting process, by descriptor: it is to get none twice."""

_owned: set[int] = set()
"""The descriptors that this process was started with and that handles own."""


def hand_over(handle: Any) -> object:
    """See Backend.for_child."""
    from multiprocessing import context, reduction

    passed = _passed.setdefault(context.get_spawning_popen(), {})
    number, fds, end_loan = handle.lend()
    try:
        for fd in fds:
            if fd not in passed:
                passed[fd] = reduction.DupFd(fd)
        return handle.kind, number, [passed[fd] for fd in fds]
    finally:
        end_loan(False)


def take_over(inheritable: Any, makers: Makers) -> Attachment:
    """See Backend.from_parent."""
    kind, number, passed = inheritable
    return makers[kind]([_own(fd.detach()) for fd in passed], number)


def _own(fd: int) -> int:
    """Return a descriptor that no other handle owns, closed when this process executes another."""
    if fd in _owned:
        return os.dup(fd)
    _owned.add(fd)
    os.set_inheritable(fd, False)
    return fd
