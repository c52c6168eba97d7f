"""Handles among the arguments of a process that multiprocessing starts."""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

from ipc_backend_unix.attachments import unpack
from ipc_backend_unix.wire import Frame
from ipc_core.spi import Attachment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_passed: WeakKeyDictionary[Any, dict[int, Any]] = WeakKeyDictionary()
"""What each starting process was given for each descriptor: it is to get none twice."""

_taken: set[int] = set()
"""The descriptors that this process was started with and handles own."""


def hand_over(handle: Any) -> object:
    """See Backend.for_child."""
    from multiprocessing import context, reduction

    passed = _passed.setdefault(context.get_spawning_popen(), {})
    number, fds, give_back = handle._lend()
    try:
        for fd in fds:
            if fd not in passed:
                passed[fd] = reduction.DupFd(fd)
        return handle.kind, number, [passed[fd] for fd in fds]
    finally:
        give_back(False)


def take_over(parcel: Any) -> Attachment:
    """See Backend.from_parent."""
    kind, number, passed = parcel
    fds = [_own(fd.detach()) for fd in passed]
    return unpack(Frame(0, [(kind, len(fds), number)], memoryview(b"")), fds)[0]


def _own(fd: int) -> int:
    if fd in _taken:
        return os.dup(fd)
    _taken.add(fd)
    os.set_inheritable(fd, False)
    return fd
