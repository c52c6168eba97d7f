"""A one-shot server: a name with launchd, at which one client connects.

The name leads to the port of `notifications`, not to the channel. A client greets it there with the
name and a reply port, and the first one gets the channel's only send right. So a second client is
refused without any action of the server's program.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Sequence

from ipc_backend_macos import kernel, locking, mach, notifications, wire
from ipc_backend_macos.attachments import Makers
from ipc_backend_macos.buffers import next_message, recycle
from ipc_backend_macos.outgoing import OutgoingMessage
from ipc_backend_macos.receiver import MacosReceiver
from ipc_backend_macos.rights import release_message
from ipc_backend_macos.sender import MacosSender, adopt_sender
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    DecodeError,
    IpcError,
    IpcIOError,
    mend_after_fork,
)

_PREFIX = "ipc-core."
_ANSWER_SECONDS = 10.0
"""Seconds that a client waits for the server's process, which may be stopped."""


class _Offer:
    """A channel's only send right, for the first client."""

    def __init__(self, port: int, service: bytes) -> None:
        """Publish the name. Takes over the send right."""
        self._port = port
        self._service = service
        mend_after_fork(self)
        try:
            port_for_greetings = notifications.port()
            with locking.LOCK:
                notifications.greeted[service] = self._welcome
                kernel.make_send(port_for_greetings)
                try:
                    kernel.register(service, port_for_greetings)
                finally:
                    kernel.release_send(port_for_greetings)
        except BaseException:
            notifications.greeted.pop(service, None)
            kernel.release_send(port)
            raise

    def _welcome(self, reply: int) -> None:
        """Give the right to the client, in the thread of `notifications`."""
        with locking.LOCK:
            port, self._port = self._port, 0
            if not port:  # it was withdrawn
                notifications.refuse(reply)
                return
            answer = wire.welcome(reply, port)
            codes: list[int] = []
            kernel.send(mach.buffer_of(answer), len(answer), 0, codes)
            if codes[-1] != mach.MACH_MSG_SUCCESS:  # the client has died
                kernel.release_send(reply)
                kernel.release_send(port)
            kernel.register(self._service, mach.MACH_PORT_NULL)

    def withdraw(self) -> None:
        with locking.LOCK:
            port, self._port = self._port, 0
            if notifications.greeted.pop(self._service, None) is not None:
                kernel.register(self._service, mach.MACH_PORT_NULL)
            kernel.release_send(port)

    def after_fork(self) -> None:
        self._port = 0


class MacosOneShotServer:
    """See OsIpcOneShotServer. The client's effective user, which the kernel puts into the trailer
    of its greeting, is checked before anything is read."""

    _offer: _Offer | None = None

    def __init__(self, makers: Makers) -> None:
        self.name = _PREFIX + secrets.token_hex(16)
        self._accepting = False
        port = kernel.new_port()
        try:
            kernel.make_send(port)
        except BaseException:
            kernel.destroy_port(port)
            raise
        self._receiver: MacosReceiver | None = MacosReceiver(port, makers)
        self._offer = _Offer(port, self.name.encode())

    def accept(self, timeout: float | None) -> tuple[MacosReceiver, Buffer, Sequence[Attachment]]:
        """See OsIpcOneShotServer.accept. Raises IpcError while another thread accepts."""
        with locking.LOCK:
            receiver = self._receiver
            if receiver is None:
                raise ClosedError("this server is closed or has accepted its client")
            if self._accepting:
                raise IpcError("another thread is accepting")
            self._accepting = True
        try:
            data, attachments = receiver.recv(timeout)
            self._receiver = None
            return receiver, data, attachments
        finally:
            self._accepting = False

    def close(self) -> None:
        """See OsIpcOneShotServer.close."""
        with locking.LOCK:
            receiver, self._receiver = self._receiver, None
            if receiver is not None:
                receiver.close()  # before the sender: a thread in `accept` raises ClosedError
            offer, self._offer = self._offer, None
            if offer is not None:
                offer.withdraw()

    def __del__(self) -> None:
        if self._offer is not None:
            self.close()


def connect(name: str) -> MacosSender:
    """See Backend.connect. Raises IpcIOError also when the server's process does not answer."""
    service = _service_name(name)
    greeted = kernel.look_up(service)
    try:
        reply = kernel.new_port()
        try:
            _greet(greeted, reply, service)
            return adopt_sender(_answer(reply))
        finally:
            kernel.destroy_port(reply)
    finally:
        kernel.release_send(greeted)


def _service_name(name: str) -> bytes:
    if not name.startswith(_PREFIX) or not name.isascii() or "\0" in name:
        raise IpcIOError(errno.ENOENT, f"no server is called {name[:80]!a}")
    service = name.encode()
    if len(service) >= mach.BOOTSTRAP_MAX_NAME_LEN:
        raise IpcIOError(errno.ENAMETOOLONG, f"no server is called {name[:80]!a}")
    return service


def _greet(port: int, reply: int, service: bytes) -> None:
    greeting = OutgoingMessage(wire.hello(port, reply, service))
    try:
        code = greeting.send()
    finally:
        if not greeting.accepted:
            greeting.discard()
    if code == mach.MACH_SEND_INVALID_DEST:
        raise IpcIOError(errno.ECONNREFUSED, "the server's process is gone")
    if code != mach.MACH_MSG_SUCCESS:
        raise kernel.failed("mach_msg", code)


def _answer(reply: int) -> int:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        message = next_message(reply, deadline, mach.MACH_RCV_TRAILER_SENDER)
        if message is not None:
            return _welcomed(message)
        if time.monotonic() >= deadline:
            raise IpcIOError(errno.ETIMEDOUT, "the server's process does not answer")


def _welcomed(message: memoryview) -> int:
    """Return the send right in an answer. Raises IpcIOError for an answer without one."""
    bits, size, _, _, _, id = mach.HEADER.unpack_from(message)
    _, _, _, user, _ = mach.SECURITY_TRAILER.unpack_from(message, size)
    try:
        if id != wire.WELCOME_ID:
            raise IpcIOError(errno.ECONNREFUSED, "another client has connected, or it is closed")
        found = list(wire.descriptors(message[:size]))
        if (
            not wire.is_note(bits)
            or [kind for kind, _ in found] != [mach.MACH_MSG_PORT_DESCRIPTOR]
            or user != os.geteuid()
        ):
            raise DecodeError("a server's answer has no sender")
        name, _, _, disposition, _ = mach.PORT.unpack_from(message, found[0][1])
        if disposition != mach.MACH_MSG_TYPE_MOVE_SEND:
            raise DecodeError("a server's answer has no sender")
    except BaseException as error:
        release_message(message[:size])
        if isinstance(error, DecodeError):
            raise IpcIOError(errno.EPROTO, str(error)) from error
        raise
    recycle(message)
    return int(name)
