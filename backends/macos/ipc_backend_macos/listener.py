"""A name with launchd, at which one client connects.

The name leads to the attendant's port, not to the channel: a client greets it there with the name
and a reply port, and the first one gets the channel's only send right. So the server's program
need not do anything for a second client to be refused.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Sequence

from ipc_backend_macos import kernel, locking, mach, notifications, wire
from ipc_backend_macos.buffers import done_with, next_message
from ipc_backend_macos.receiver import MacosReceiver
from ipc_backend_macos.rights import release_message
from ipc_backend_macos.sender import MacosSender, received_sender
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


class _Offer:
    """A channel's only send right, for the client that comes first."""

    def __init__(self, port: int, service: bytes) -> None:
        """Publish the name; takes the send right over."""
        self._port = port
        self._service = service
        mend_after_fork(self)
        try:
            desk = notifications.attend()
            with locking.LOCK:
                notifications.greeted[service] = self._welcome
                kernel.make_send(desk)
                try:
                    kernel.register(service, desk)
                finally:
                    kernel.release_send(desk)
        except BaseException:
            notifications.greeted.pop(service, None)
            kernel.release_send(port)
            raise

    def _welcome(self, reply: int) -> None:
        """Give the right away, in the attendant's thread."""
        with locking.LOCK:
            port, self._port = self._port, 0
            if not port:  # withdrawn meanwhile
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
    """See OsIpcOneShotServer. The kernel's word on who greets (the trailer's effective user) is
    checked before anything is read."""

    _offer: _Offer | None = None

    def __init__(self) -> None:
        self.name = _PREFIX + secrets.token_hex(16)
        self._accepting = False
        port = kernel.new_port()
        try:
            kernel.make_send(port)
        except BaseException:
            kernel.destroy_port(port)
            raise
        self._receiver: MacosReceiver | None = MacosReceiver(port)
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
                receiver.close()  # before the sender goes: who waits was closed, not disconnected
            offer, self._offer = self._offer, None
            if offer is not None:
                offer.withdraw()

    def __del__(self) -> None:
        if self._offer is not None:
            self.close()


def connect(name: str) -> MacosSender:
    """See Backend.connect. Raises IpcIOError also when the server's process does not answer."""
    service = _service_name(name)
    desk = kernel.look_up(service)
    try:
        reply = kernel.new_port()
        try:
            _greet(desk, reply, service)
            return received_sender(_answer(reply))
        finally:
            kernel.destroy_port(reply)
    finally:
        kernel.release_send(desk)


def _service_name(name: str) -> bytes:
    if not name.startswith(_PREFIX) or not name.isascii() or "\0" in name:
        raise IpcIOError(errno.ENOENT, f"no server is called {name[:80]!a}")
    service = name.encode()
    if len(service) >= mach.BOOTSTRAP_MAX_NAME_LEN:
        raise IpcIOError(errno.ENAMETOOLONG, f"no server is called {name[:80]!a}")
    return service


def _greet(desk: int, reply: int, service: bytes) -> None:
    from ipc_backend_macos.outgoing import Parcel

    greeting = Parcel(wire.hello(desk, reply, service))
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
    """The send right in an answer. Raises IpcIOError when there is none."""
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
            raise DecodeError("the answer of a server is none")
        name, _, _, disposition, _ = mach.PORT.unpack_from(message, found[0][1])
        if disposition != mach.MACH_MSG_TYPE_MOVE_SEND:
            raise DecodeError("the answer of a server is none")
    except BaseException as error:
        release_message(message[:size])
        if isinstance(error, DecodeError):
            raise IpcIOError(errno.EPROTO, str(error)) from error
        raise
    done_with(message)
    return int(name)
