"""The broker of the channels made in this process: their queues, and threads that serve them.

Being connected is being alive. A sender or receiver inside a queued message is alive because the
broker of that queue holds a connection for it. So whatever dies, and however, the operating system
closes its connections and the counts are right.
"""

from __future__ import annotations

import errno
import functools
import hmac
import itertools
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ipc_backend_tcp.wire import (
    HELLO_BODY,
    LOOPBACK,
    PATIENCE,
    SECRET_SIZE,
    Address,
    Frame,
    Link,
    Role,
    frame,
    read_frame,
    unpack_message,
)


@functools.cache
def the_broker() -> Broker:
    """This process's broker; its port is opened on first use and stays."""
    return Broker()


def _forked() -> None:
    """Leave the broker to the parent: a copy of its sockets would hide that it hangs up."""
    if the_broker.cache_info().currsize:
        the_broker().abandon()
        the_broker.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Broker:
    """Any local user can connect to the port, so a connection is worth nothing until it has
    shown the secret of a channel, which only holders of its endpoints know."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0), backlog=socket.SOMAXCONN)
        self._port: int = self._listener.getsockname()[1]
        self._numbers = itertools.count(1)
        self._channels: dict[int, Channel] = {}
        _start(self._listen)

    def new_channel(self, ticket: bytes | None = None) -> Address:
        """Make a channel. It ends when its last receiver leaves."""
        number = next(self._numbers)
        token = secrets.token_bytes(SECRET_SIZE)
        self._channels[number] = Channel(token, ticket)
        return Address(self._port, number, token)

    def abandon(self) -> None:
        self._listener.close()
        for channel in self._channels.values():
            channel.abandon()

    def _listen(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                time.sleep(0.05)  # out of descriptors: waiting clients stay in the backlog
                continue
            try:
                _start(self._serve, sock)
            except RuntimeError:
                sock.close()  # out of threads

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._admit(sock)
            except (OSError, ValueError, MemoryError):
                pass  # the peer left, or does not keep to the protocol: hang up

    def _admit(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        kind, body = read_frame(sock, HELLO_BODY.size)
        if kind is not Frame.HELLO or len(body) != HELLO_BODY.size:
            raise ValueError("a connection begins with HELLO")
        role, number, secret = HELLO_BODY.unpack(body)
        channel = self._channels.get(number)
        connection = Connection(sock, Role(role))
        if channel is None or not channel.join(connection, secret):
            sock.sendall(frame(Frame.UNKNOWN))
            return
        sock.settimeout(None)
        try:
            channel.answer(connection, Frame.WELCOME, channel.token)
            connection.serve(channel)
        finally:
            unread = channel.leave(connection)
            if unread is not None:
                del self._channels[number]
                for message in unread:
                    message.release()


class Message:
    """A queued message. Its links keep its attachments alive."""

    def __init__(self, body: bytearray) -> None:
        self.body = body
        self._links: list[Link] = []
        attachments, _ = unpack_message(body)
        try:
            for role, address in attachments:
                try:
                    self._links.append(Link(address, role))
                except ConnectionError:
                    pass  # that channel is gone, which the other side will find out too
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        while self._links:
            self._links.pop().hang_up()


class Channel:
    """A queue and the connections of its endpoints.

    A one-shot server's ticket counts as a sender until its client shows it.
    """

    def __init__(self, token: bytes, ticket: bytes | None) -> None:
        self.token = token
        self._ticket = ticket
        self._lock = threading.Lock()
        self._queue: deque[Message] = deque()
        self._connections: dict[Role, set[Connection]] = {role: set() for role in Role}
        self._gone = False

    def join(self, connection: Connection, secret: bytes) -> bool:
        """Let a connection in if its secret is right."""
        with self._lock:
            is_client = connection.role is Role.CLIENT
            expected = self._ticket if is_client else self.token
            if self._gone or expected is None or not hmac.compare_digest(expected, secret):
                return False
            if is_client:
                self._ticket = None
                connection.role = Role.SENDER
            self._connections[connection.role].add(connection)
            return True

    def leave(self, connection: Connection) -> deque[Message] | None:
        """A connection has ended. If it was the last receiver's, return the unread messages."""
        with self._lock:
            self._connections[connection.role].discard(connection)
            if connection.lent is not None:
                self._queue.appendleft(connection.lent)
                connection.lent = None
            if connection.role is Role.RECEIVER and not self._connections[Role.RECEIVER]:
                self._gone = True
                for role in (Role.SENDER, Role.WATCHER, Role.LISTENER):
                    for other in self._connections[role]:
                        other.end()
                return self._queue
            self._tell_receivers()
            return None

    def put(self, message: Message) -> bool:
        """Queue a message; False if no receiver is left."""
        with self._lock:
            if not self._gone:
                self._queue.append(message)
                self._tell_receivers()
            return not self._gone

    def lend(self, connection: Connection) -> Message | None:
        """The message for a receiver that asks, if there is one."""
        with self._lock:
            if connection.lent is None and self._queue:
                connection.lent = self._queue.popleft()
            return connection.lent

    def answer(self, connection: Connection, answer: Frame, body: bytes = b"") -> None:
        """Answer, and send the READY to follow at once if there is a reason already."""
        with self._lock:
            if answer is Frame.EMPTY and self._is_over():
                answer = Frame.END
            data = frame(answer, body)
            if connection.role in (Role.RECEIVER, Role.LISTENER):
                connection.wants_ready = not self._has_news()
                if not connection.wants_ready:
                    data += frame(Frame.READY)
            connection.socket.sendall(data)

    def abandon(self) -> None:
        for connections in self._connections.values():
            for connection in connections:
                connection.socket.close()

    def _is_over(self) -> bool:
        return not self._queue and self._ticket is None and not self._connections[Role.SENDER]

    def _has_news(self) -> bool:
        return bool(self._queue) or self._is_over()

    def _tell_receivers(self) -> None:
        if self._has_news():
            for role in (Role.RECEIVER, Role.LISTENER):
                for connection in self._connections[role]:
                    connection.tell_ready()


class Connection:
    """The broker's end of a connection, served by a thread of its own."""

    def __init__(self, sock: socket.socket, role: Role) -> None:
        self.socket = sock
        self.role = role
        self.lent: Message | None = None
        self.wants_ready = False

    def serve(self, channel: Channel) -> None:
        """Answer requests until the peer leaves, by one exception or another."""
        while True:
            kind, body = read_frame(self.socket)
            if kind is Frame.SEND and self.role is Role.SENDER:
                self._send(channel, body)
            elif kind is Frame.NEXT and self.role is Role.RECEIVER:
                message = channel.lend(self)
                if message is not None:
                    self.socket.sendall(frame(Frame.MESSAGE, message.body))
                else:
                    channel.answer(self, Frame.EMPTY)
            elif kind is Frame.TAKE and self.lent is not None:
                message, self.lent = self.lent, None
                message.release()
                channel.answer(self, Frame.TAKEN)
            else:
                raise ValueError(f"a {self.role.name} may not ask for {kind.name}")

    def _send(self, channel: Channel, body: bytearray) -> None:
        try:
            message = Message(body)
        except OSError as error:
            reason = error.errno or errno.ETIMEDOUT
            self.socket.sendall(frame(Frame.REFUSED, reason.to_bytes(4, "big")))
            return
        if not channel.put(message):
            message.release()
            raise ConnectionError("no receiver is left")
        self.socket.sendall(frame(Frame.ACCEPTED))

    def tell_ready(self) -> None:
        if self.wants_ready:
            self.wants_ready = False
            with suppress(OSError):  # its own thread will notice
                self.socket.sendall(frame(Frame.READY))

    def end(self) -> None:
        """Make its thread hang up."""
        with suppress(OSError):  # the peer was quicker
            self.socket.shutdown(socket.SHUT_RD)


def _start(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, name="ipc-backend-tcp", daemon=True).start()
