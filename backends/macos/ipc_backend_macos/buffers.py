"""Buffers that messages are received into, and used again."""

from __future__ import annotations

import ctypes
import errno
import time
from typing import Any

from ipc_backend_macos import kernel, mach, wire
from ipc_backend_macos.rights import release_message
from ipc_core.spi import IpcIOError

_USUAL = wire.INLINE_MAX + 4096
"""Bytes of a buffer that fits nearly every message; a larger message gets a buffer of its own."""

_MOST_SPARE = 16

_spare: list[Any] = []


def next_message(name: int, deadline: float | None, options: int = 0) -> memoryview | None:
    """Return the next message of a port or port set with its trailer, or None when the deadline
    has passed or a signal came.

    `deadline` is a value of time.monotonic(); one in the past polls. The view belongs to a buffer
    that the caller gives back with `recycle`. Raises IpcIOError.
    """
    try:
        buffer = _spare.pop()
    except IndexError:
        buffer = _new_buffer(_USUAL)
    codes: list[int] = []
    try:
        while True:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            kernel.receive(buffer, name, timeout, options, codes)
            code = codes[-1]
            if code == mach.MACH_MSG_SUCCESS:
                return memoryview(buffer).cast("B")
            if code == mach.MACH_RCV_TOO_LARGE:
                needed = mach.HEADER.unpack_from(buffer)[1] + mach.MAX_TRAILER_SIZE
                buffer = _new_buffer(needed)
                continue
            if len(buffer) == _USUAL:
                _spare.append(buffer)
            if code in (mach.MACH_RCV_TIMED_OUT, mach.MACH_RCV_INTERRUPTED):
                return None
            raise IpcIOError(errno.EIO, f"mach_msg could not receive: {code:#x}")
    except BaseException:
        if codes and codes[-1] == mach.MACH_MSG_SUCCESS:
            release_message(memoryview(buffer).cast("B"))
        raise


def recycle(message: memoryview) -> None:
    """Give back the buffer of a message; the view must not be used any more."""
    buffer: Any = message.obj
    message.release()
    if len(buffer) == _USUAL and len(_spare) < _MOST_SPARE:
        _spare.append(buffer)


def _new_buffer(size: int) -> Any:
    return (ctypes.c_char * size)()
