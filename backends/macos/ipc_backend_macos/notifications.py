"""A thread that receives what the kernel and clients of one-shot servers say at any moment.

It starts with the first thing that needs it: a held message, a wait for a channel's end, a server.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.buffers import done_with, next_message
from ipc_backend_macos.mach import HEADER, NOTIFIED_NAME_OFFSET, SECURITY_TRAILER
from ipc_backend_macos.rights import release_message
from ipc_core.spi import IpcError, mend_after_fork

GRACE = 0.5
"""Seconds without progress after which a process that ends gives up what it still holds."""

_STEP = 0.005


class Attendant:
    """Its port, and the thread. In a forked child there is none until it is needed."""

    def __init__(self) -> None:
        self._port = 0
        self._linger = False
        mend_after_fork(self)

    def port(self) -> int:
        """The port that notifications and greetings go to; the thread is running."""
        if not self._port:
            with locking.LOCK:
                if not self._port:
                    port = kernel.new_port()
                    thread = threading.Thread(
                        target=self._run, args=(port,), name="ipc-macos", daemon=True
                    )
                    try:
                        thread.start()
                    except BaseException:
                        kernel.destroy_port(port)
                        raise
                    self._port = port
                    if not self._linger:
                        self._linger = True
                        atexit.register(_linger)
        return self._port

    def _run(self, port: int) -> None:
        while True:
            message = next_message(port, None, mach.MACH_RCV_TRAILER_SENDER)
            if message is None:
                continue
            try:
                _handle(message)
            except IpcError:
                pass  # the system refused; whoever waits for it learns by its own next call
            finally:
                done_with(message)

    def after_fork(self) -> None:
        from ipc_backend_macos.remote_port import forget_all

        self._port = 0
        forget_all()
        greeted.clear()


greeted: dict[bytes, Callable[[int], None]] = {}
"""Who answers a client's greeting, by the server's name; called with the reply right."""


def attend() -> int:
    """Start the thread if it does not run; return the port for notifications."""
    return _attendant.port()


def remind(name: int) -> None:
    """Have the thread flush what is held for a name."""
    port = attend()
    note = wire.reminder(port, name)
    codes: list[int] = []
    kernel.send(mach.buffer_of(note), len(note), 0, codes)
    if codes[-1] != mach.MACH_MSG_SUCCESS:
        raise kernel.failed("mach_msg", codes[-1])


def _handle(message: memoryview) -> None:
    from ipc_backend_macos.remote_port import notification

    bits, size, remote, _, _, id = HEADER.unpack_from(message)
    if wire.is_note(bits):
        if id in (mach.MACH_NOTIFY_DEAD_NAME, mach.MACH_NOTIFY_SEND_POSSIBLE):
            notification(id, *mach.BODY.unpack_from(message, NOTIFIED_NAME_OFFSET))
        elif id == wire.REMINDER_ID:
            notification(id, *mach.BODY.unpack_from(message, HEADER.size))
        return
    _, _, _, user, _ = SECURITY_TRAILER.unpack_from(message, size)
    reply_kind = bits & mach.MACH_MSGH_BITS_REMOTE_MASK
    if (
        id != wire.HELLO_ID
        or bits & mach.MACH_MSGH_BITS_COMPLEX
        or reply_kind != mach.MACH_MSG_TYPE_MOVE_SEND_ONCE
        or user != os.geteuid()
    ):
        release_message(message)
        return
    answer = greeted.pop(_greeted_name(message[:size]), refuse)
    answer(remote)


def _greeted_name(message: memoryview) -> bytes:
    offset = HEADER.size + wire.OURS.size
    if len(message) < offset:
        return b""
    length = wire.OURS.unpack_from(message, HEADER.size)[4]
    return bytes(message[offset : offset + length])


def refuse(reply: int) -> None:
    """Answer a client that there is nothing for it."""
    codes: list[int] = []
    answer = wire.refusal(reply)
    kernel.send(mach.buffer_of(answer), len(answer), 0, codes)
    if codes[-1] != mach.MACH_MSG_SUCCESS:
        kernel.release_send(reply)


def _linger() -> None:
    """At a normal exit: let what is held go as long as somebody receives it."""
    from ipc_backend_macos.remote_port import held_messages

    held, give_up = held_messages(for_others=True), time.monotonic() + GRACE
    while held and time.monotonic() < give_up:
        time.sleep(_STEP)
        before, held = held, held_messages(for_others=True)
        if held != before:
            give_up = time.monotonic() + GRACE


_attendant = Attendant()
