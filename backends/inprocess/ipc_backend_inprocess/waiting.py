"""Threads sleep until something changes. No lock is ever held while other code runs.

Every step on shared state is one atomic operation of a deque, set or dict. So a signal handler or
a destructor may send and close in the middle of any of them, in any thread, without a deadlock.
The order of steps makes up for the lock. A thread that waits registers first and looks
afterwards; a thread that changes something changes it first and looks for listeners afterwards.
So either the change is seen, or the listener is called; perhaps both, so a call is only a hint.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ipc_core.spi import THREADS, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")


NAP = 0.005

Listener = Callable[[], object]
Listeners = deque[Listener]


def notify(listeners: Listeners) -> None:
    """Call the listener that has waited longest, once: it has to register again."""
    try:
        listener = listeners.popleft()
    except IndexError:
        return
    listener()


def notify_all(listeners: Listeners) -> None:
    """Call whoever listens now."""
    for _ in range(len(listeners)):
        notify(listeners)


def forget(listeners: Listeners, listener: Listener) -> bool:
    """Take a listener off; return False if a notification has done so already."""
    try:
        listeners.remove(listener)
    except ValueError:
        return False
    return True


def wait_for(listeners: Listeners, poll: Callable[[], T | None], timeout: float | None) -> T | None:
    """Call `poll` until it returns something, again after each notification; None on expiry.

    Raises NotSupportedError if that would take for ever because there are no threads.
    """
    result = poll()
    if result is not None or timeout == 0:
        return result
    deadline = None if timeout is None else time.monotonic() + timeout
    if not THREADS:
        return _nap_until(deadline, poll)
    alarm = threading.Lock()
    alarm.acquire()
    listener = alarm.release
    listeners.append(listener)
    finished = False
    try:
        while True:
            result = poll()
            if result is not None or not _sleep(alarm, deadline):
                finished = True
                return result
            listeners.append(listener)
    finally:
        # A notification that came too late, or that an exception kept from its purpose, may be
        # another thread's condition.
        if not forget(listeners, listener) or not finished:
            notify(listeners)


def _sleep(alarm: threading.Lock, deadline: float | None) -> bool:
    if deadline is None:
        return alarm.acquire()
    while (remaining := deadline - time.monotonic()) > 0:
        if alarm.acquire(timeout=min(remaining, threading.TIMEOUT_MAX)):
            return True
    return False


def _nap_until(deadline: float | None, poll: Callable[[], T | None]) -> T | None:
    if deadline is None:
        raise NotSupportedError(
            "this platform has no threads: nothing could happen during a wait without a timeout"
        )
    result = None
    while result is None and (remaining := deadline - time.monotonic()) > 0:
        time.sleep(min(remaining, NAP))
        result = poll()
    return result
