"""Threads, and the repairs that a forked child needs.

Only the thread that forked exists in the child. A lock that another thread held is held for ever,
and state of which there must be one, such as a write position, is there twice.
"""

from __future__ import annotations

import os
import sys
import threading
from _weakrefset import WeakSet  # as in weakref, without the rest of that module

import ipc_core._typing as t

_emscripten: t.Any = getattr(sys, "_emscripten_info", None)

THREADS: bool = sys.platform != "wasi" and (_emscripten is None or _emscripten.pthreads)
"""Without threads nothing else runs while this program waits, and a taken lock blocks for ever."""


class Forkable(t.Protocol):
    """Something whose copy in a forked child needs a repair."""

    def after_fork(self) -> None:
        """Make this copy safe to use and to close in the child; the parent's is not touched."""


_locks: WeakSet[Forkable] = WeakSet()
_parts: WeakSet[Forkable] = WeakSet()
_wholes: WeakSet[Forkable] = WeakSet()


def mend_after_fork(obj: Forkable, *, last: bool = False) -> None:
    """Have `obj.after_fork()` called in every child that os.fork makes while `obj` lives; `last`
    if it closes or calls others that are mended too."""
    (_wholes if last else _parts).add(obj)


def unheld(lock: threading.RLock) -> threading.RLock:
    """The lock, or a new one if a thread that does not exist in this child holds it."""
    if not lock.acquire(blocking=False):
        return threading.RLock()
    lock.release()
    return lock


class BriefLock:
    """A reentrant lock for a few steps, never held during a wait. It is free in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        self._lock = unheld(self._lock)


def _in_child() -> None:
    failed: Exception | None = None
    for obj in (*_locks, *_parts, *_wholes):  # mending may take locks
        try:
            obj.after_fork()
        except AttributeError:
            pass  # half made, by a thread that is not here to finish it
        except Exception as error:
            failed = error  # told when the others are mended
    if failed:
        raise failed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
