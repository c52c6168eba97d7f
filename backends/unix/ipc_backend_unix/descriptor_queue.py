"""Any number of descriptors, kept by the kernel in a chain of private socket pairs.

A packet holds 253 descriptors and a socket a few hundred packets. When a socket is full, a new
pair continues it, whose reading end travels in the last packet of the old one. Packets carry a
token, so that descriptors of a message that was never announced are recognised and dropped.
"""

from __future__ import annotations

import _socket
import errno
import os
from collections.abc import Sequence

from ipc_backend_unix.descriptors import (
    ANCILLARY_SPACE,
    MAX_PER_PACKET,
    Socket,
    adopt_socket,
    close_fds,
    pair,
    received_fds,
    send_packet,
    unsent,
)
from ipc_backend_unix.wire import SIZE
from ipc_core.spi import DecodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


_CONTINUED = SIZE.pack(2**64 - 1)
"""The token of a packet that carries the socket in which the queue goes on."""


class QueueWriter:
    """The end at which descriptors go in. `reader` is the socket for the QueueReader."""

    def __init__(self) -> None:
        self._sock, self.reader = pair()

    def put(self, token: int, fds: Sequence[int]) -> None:
        """Add the descriptors of one message.

        Raises BrokenPipeError or ConnectionResetError when the reader is gone.
        """
        head = SIZE.pack(token)
        for start in range(0, len(fds), MAX_PER_PACKET):
            part = fds[start : start + MAX_PER_PACKET]
            try:
                send_packet(self._sock, [head], part)
            except BlockingIOError:
                self._continue()
                send_packet(self._sock, [head], part)

    def _continue(self) -> None:
        sock, reader = pair()
        # The kernel admits a packet while less than SO_SNDBUF is taken. It doubles the size that
        # it is given.
        room = (unsent(self._sock) + 4096) // 2
        self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, room)
        send_packet(self._sock, [_CONTINUED], [reader.fileno()])
        reader.close()
        self._sock.close()
        self._sock = sock

    def close(self) -> None:
        """Close both ends held here; a reader that was sent keeps the descriptors."""
        self._sock.close()
        self.reader.close()


class QueueReader:
    """The end at which descriptors come out, in the order in which they went in.

    An honest writer puts at least one descriptor in each packet, and at most one packet between
    two that continues the queue. No more are read, so an endless queue is detected.
    """

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self._packets_left = 0

    def take(self, token: int, count: int) -> list[int]:
        """Return the `count` descriptors put in under `token`. Never waits: they went in before the
        message that announces them.

        Raises DecodeError when they are not there.
        """
        taken: list[int] = []
        self._packets_left += 2 * count
        try:
            while len(taken) < count:
                head, fds = self._packet()
                if head == _CONTINUED:
                    close_fds(fds[1:])
                    self.sock.close()
                    self.sock = adopt_socket(fds[0]) if fds else _missing()
                elif len(head) == SIZE.size and SIZE.unpack(head)[0] < token:
                    close_fds(fds)
                elif len(head) == SIZE.size and SIZE.unpack(head)[0] == token and fds:
                    taken += fds
                else:
                    close_fds(fds)
                    _missing()
            if len(taken) != count:
                _missing()
        except BaseException:
            close_fds(taken)
            raise
        return taken

    def _packet(self) -> tuple[bytes, list[int]]:
        if not self._packets_left:
            _missing()
        self._packets_left -= 1
        try:
            head, ancillary, flags, _ = self.sock.recvmsg(
                SIZE.size, ANCILLARY_SPACE, _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            _missing()
        fds = received_fds(ancillary)
        if flags & (_socket.MSG_CTRUNC | _socket.MSG_TRUNC) or not head:
            close_fds(fds)
            if flags & _socket.MSG_CTRUNC:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            _missing()
        return head, fds

    def close(self) -> None:
        """Drop the descriptors that were not taken out."""
        self.sock.close()


def _missing() -> NoReturn:
    raise DecodeError("a message's descriptors are missing")
