"""The frames on a connection, and the client's end of one.

A frame is a kind, a length and a body. The client asks and the broker answers:

HELLO      -> WELCOME, with the channel's token, or UNKNOWN
SEND       -> ACCEPTED, or REFUSED with an errno
NEXT       -> MESSAGE, which is lent until it is taken, EMPTY or END
TAKE       -> TAKEN

A receiver's connection is readable when NEXT is worth asking: after WELCOME, EMPTY, END and TAKEN
the broker sends one READY as soon as there is a message or the end to tell of. A listener gets one
READY after WELCOME.
"""

from __future__ import annotations

import enum
import errno
import socket
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from ipc_core.spi import Buffer

LOOPBACK = "127.0.0.1"
SECRET_SIZE = 16
PATIENCE = 2.0
"""Seconds that a living peer may take to answer a HELLO or a hang-up."""

LARGEST_BODY = 2**31 - 1
_LONGEST_WAIT = 1e6

_HEADER = struct.Struct("!BI")
_COUNT = struct.Struct("!I")
_ATTACHMENT = struct.Struct(f"!BHQ{SECRET_SIZE}s")
_ALIGNED = 16
"""Where a payload begins: arrays are views of it, and a bytearray begins at such an address."""

HELLO_BODY = struct.Struct(f"!BQ{SECRET_SIZE}s")


Frame = enum.IntEnum(
    "Frame",
    "HELLO WELCOME UNKNOWN SEND ACCEPTED REFUSED NEXT MESSAGE EMPTY END TAKE TAKEN READY",
)


class Role(enum.IntEnum):
    """The part of a connection in its channel."""

    SENDER = 1
    RECEIVER = 2
    CLIENT = 3
    """Becomes a sender; shows the one-time ticket of a one-shot server in place of the token."""
    WATCHER = 4
    """Waits for the last receiver to go."""
    LISTENER = 5
    """Waits for READY."""


class Address(NamedTuple):
    """Where a channel lives, and the secret that lets one in."""

    port: int
    number: int
    secret: bytes


def frame(kind: Frame, *body: Buffer) -> bytes:
    """Raises OSError for a body that is too large."""
    length = sum(memoryview(part).nbytes for part in body)
    if length > LARGEST_BODY:
        raise OSError(errno.EMSGSIZE, "the message is too large")
    return b"".join((_HEADER.pack(kind, length), *body))


def read_frame(sock: socket.socket, largest: int = LARGEST_BODY) -> tuple[Frame, bytearray]:
    """Raises ConnectionError when the peer is gone, ValueError for other bytes than a frame."""
    kind, length = _HEADER.unpack(_read(sock, _HEADER.size))
    if length > largest:
        raise ValueError(f"a frame of {length} bytes is too long")
    return Frame(kind), _read(sock, length)


def _read(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    with memoryview(data) as view:
        filled = 0
        while filled < size:
            count = sock.recv_into(view[filled:])
            if not count:
                raise ConnectionResetError("the peer has hung up")
            filled += count
    return data


def pack_attachments(attachments: Sequence[tuple[Role, Address]]) -> bytes:
    """Return the bytes before the payload in the body of a SEND or MESSAGE."""
    packed = _COUNT.pack(len(attachments)) + b"".join(
        _ATTACHMENT.pack(role, *address) for role, address in attachments
    )
    return packed + bytes(-len(packed) % _ALIGNED)


def unpack_message(body: Buffer) -> tuple[list[tuple[Role, Address]], memoryview]:
    """Return the attachments and the payload. Raises ValueError for other bytes than a message."""
    view = memoryview(body)
    if len(view) < _COUNT.size:
        raise ValueError("a message of no length")
    (count,) = _COUNT.unpack_from(view)
    end = _COUNT.size + count * _ATTACHMENT.size
    begin = end + -end % _ALIGNED
    if begin > len(view):
        raise ValueError(f"a message too short for {count} attachments")
    attachments = []
    for role, *address in _ATTACHMENT.iter_unpack(view[_COUNT.size : end]):
        if role not in (Role.SENDER, Role.RECEIVER):
            raise ValueError(f"{role} is not a kind of attachment")
        attachments.append((Role(role), Address(*address)))
    return attachments, view[begin:]


class Socket(socket.socket):
    """Closes itself without a warning: a program may leak the endpoint above it, not this."""

    def __del__(self) -> None:
        if self.fileno() >= 0:
            self.close()


class Link:
    """The client's end of a connection. As long as it lives, so does that end of the channel.

    Raises ConnectionError when the broker or the channel is gone, other OSErrors when the system
    refuses.
    """

    def __init__(self, address: Address, role: Role) -> None:
        self.interrupted = False
        self.socket = Socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.socket.settimeout(PATIENCE)
            self.socket.connect((LOOPBACK, address.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = HELLO_BODY.pack(role, address.number, address.secret)
            self.socket.sendall(frame(Frame.HELLO, hello))
            answer, token = self._read_answer()
            if answer is not Frame.WELCOME or len(token) != SECRET_SIZE:
                self.hang_up()
                raise ConnectionRefusedError("the channel is gone")
            self.token = bytes(token)
            self.socket.settimeout(None)
        except BaseException:
            self.socket.close()
            raise

    def ask(self, kind: Frame, *body: Buffer) -> tuple[Frame, bytearray]:
        """Send a request and return the answer.

        After any exception the connection is in the middle of something, hence `interrupted`.
        """
        request = frame(kind, *body)
        self.interrupted = True
        self.socket.sendall(request)
        answer = self._read_answer()
        while answer[0] is Frame.READY:
            answer = self._read_answer()
        self.interrupted = False
        return answer

    def _read_answer(self) -> tuple[Frame, bytearray]:
        try:
            return read_frame(self.socket)
        except ValueError as error:
            raise ConnectionAbortedError(f"another program has the port now: {error}") from error

    def wait(self, timeout: float | None) -> bool:
        """Wait until the broker has sent something or hung up. May return False early."""
        self.socket.settimeout(None if timeout is None else min(timeout, _LONGEST_WAIT))
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.settimeout(None)
        return True

    def finish(self) -> None:
        """Say that no more requests come. The broker hangs up in answer."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up before

    def hang_up(self) -> None:
        """Close, and return when the broker knows it.

        The wait is bounded: a broker can be stopped, and the garbage collector may call this in
        the very thread that would have to answer. At exit nobody answers any more.
        """
        try:
            if not sys.is_finalizing():
                self.finish()
                self.socket.settimeout(PATIENCE)
                while self.socket.recv(65536):
                    pass
        except OSError:
            pass  # it has hung up before, or does not answer
        finally:
            self.socket.close()
