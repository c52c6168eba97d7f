"""The thread that receives the kernel's notifications, and greetings from clients of servers.

It starts with the first request: of a held message, a wait for a channel's end, a server. Each
request brings the handler that acts on the answer, so this module imports none of its users.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.buffers import next_message, recycle
from ipc_backend_macos.mach import HEADER, NOTIFIED_NAME_OFFSET, SECURITY_TRAILER
from ipc_backend_macos.rights import release_message
from ipc_core.spi import IpcError, mend_after_fork

Handler = Callable[[int, int], object]
"""A function that is called with the id and the name of every notification, in the thread and under
LOCK. It ignores names that are not its own."""

_handlers: set[Handler] = set()

greeted: dict[bytes, Callable[[int], None]] = {}
"""The function that answers a client's greeting, by the server's name. It is called in the thread,
with the reply right."""


class NotificationPort:
    """The port, and the thread that receives from it. A forked child has neither until it needs
    them."""

    def __init__(self) -> None:
        self.name = 0
        mend_after_fork(self)

    def open(self) -> int:
        """Return the port's name, with the thread running."""
        if not self.name:
            with locking.LOCK:
                if not self.name:
                    name = kernel.new_port()
                    thread = threading.Thread(
                        target=_serve, args=(name,), name="ipc-macos", daemon=True
                    )
                    try:
                        thread.start()
                    except BaseException:
                        kernel.destroy_port(name)
                        raise
                    self.name = name
        return self.name

    def after_fork(self) -> None:
        self.name = 0
        greeted.clear()


_port = NotificationPort()


def port() -> int:
    """Return the name of the port for notifications and greetings; start the thread if needed."""
    return _port.open()


def request(name: int, handler: Handler) -> bool:
    """Have the handler called when the port of a send right dies, or, after a send with
    MACH_SEND_NOTIFY that failed, has room again. False if the port is dead.

    The two are one request to the kernel, and the first notification uses it up.
    """
    _handlers.add(handler)
    return kernel.notify(name, mach.MACH_NOTIFY_SEND_POSSIBLE, port())


def remind(name: int, handler: Handler) -> None:
    """Have the handler called soon with `name` and the id REMINDER_ID."""
    _handlers.add(handler)
    kernel.send_note(wire.reminder(port(), name))


def refuse(reply: int) -> None:
    """Answer a client that no server of this name is free; takes over the reply right."""
    codes: list[int] = []
    answer = wire.refusal(reply)
    kernel.send(mach.buffer_of(answer), len(answer), 0, codes)
    if codes[-1] != mach.MACH_MSG_SUCCESS:
        kernel.release_send(reply)


def _serve(port: int) -> None:
    while True:
        message = next_message(port, None, mach.MACH_RCV_TRAILER_SENDER)
        if message is None:
            continue
        try:
            _handle(message)
        except IpcError:
            pass  # the system refused; a thread that waits for it learns so by its own next call
        finally:
            recycle(message)


def _handle(message: memoryview) -> None:
    bits, size, remote, _, _, id = HEADER.unpack_from(message)
    if wire.is_note(bits):
        if id in (mach.MACH_NOTIFY_DEAD_NAME, mach.MACH_NOTIFY_SEND_POSSIBLE):
            _notify(id, *mach.BODY.unpack_from(message, NOTIFIED_NAME_OFFSET))
        elif id == wire.REMINDER_ID:
            _notify(id, *mach.BODY.unpack_from(message, HEADER.size))
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
    answer = greeted.pop(wire.greeted_name(message[:size]), refuse)
    answer(remote)


def _notify(id: int, name: int) -> None:
    with locking.LOCK:
        try:
            for handler in tuple(_handlers):
                handler(id, name)
        finally:
            if id == mach.MACH_NOTIFY_DEAD_NAME:
                kernel.release_send(name)  # the reference that came with the notification
