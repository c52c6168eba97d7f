"""Packets and log records become messages.

A receiver reads packets from its socket. One of them, a switch, brings the log of a sender that
found the socket full. The receiver then reads this log to its end, and goes on in the socket. So at
any moment the next message is in the log if there is one, else in the socket.

A switch taken off the socket where no descriptor is free would be lost, and its log with it. So
its sender puts a switch ahead before it, which costs no descriptor. From there until the switch the
receiver peeks at each packet first. Peeking at a switch already gives copies of its descriptors;
they are held until the log is open, and stand in for those that taking the packet may cut off.
"""

from __future__ import annotations

import _socket
import errno
import select

from ipc_backend_unix import wire
from ipc_backend_unix.attachments import Makers
from ipc_backend_unix.descriptor_queue import QueueReader
from ipc_backend_unix.descriptors import (
    ANCILLARY_SPACE,
    Descriptor,
    Socket,
    adopt_socket,
    close_fds,
    received_fds,
    unread,
    wait,
)
from ipc_backend_unix.errors import io_error
from ipc_backend_unix.message import Message, message, message_in_log
from ipc_backend_unix.overflow import LogReader
from ipc_backend_unix.readiness import Readiness
from ipc_backend_unix.wire import HEADER_SIZE, LARGEST_PACKET, PLAIN, Frame
from ipc_core.spi import DecodeError, Disconnected, IpcError

_SWITCH = wire.pack(wire.SWITCH, [])

_AHEAD_BITS = 10
_MOST_AHEAD = (1 << _AHEAD_BITS) - 1
"""More than a socket has room for."""


class Packet:
    """A receive buffer twice the largest packet this library sends, so truncation shows a foreign
    peer. Receivers borrow it: a new one costs more than the message."""

    __slots__ = ("buffer", "buffers", "view")

    def __init__(self) -> None:
        self.buffer = bytearray(2 * LARGEST_PACKET)
        self.buffers = [self.buffer]
        self.view = memoryview(self.buffer)


spare_packets: list[Packet] = []
"""As many as threads have received at the same time."""


class Incoming:
    """The unread messages of one channel: its socket, and the log that a switch led into.

    Only the thread that holds the receiver's lock calls the methods, apart from `has_messages` and
    `fileno`. `ahead` counts the switches that are announced and not yet met.
    """

    def __init__(
        self, sock: Socket, makers: Makers, log: LogReader | None = None, ahead: int = 0
    ) -> None:
        self.sock = sock
        self.log = log
        self.ahead = ahead
        self._makers = makers
        self._held: list[int] | None = None
        """The descriptors of a switch, from before it leaves the socket until its log is open."""
        self._readiness: Readiness | None = None

    def has_messages(self) -> bool:
        """Return whether any is left. Places are looked at in the order in which a switch passes
        them on its way to its log, so one that moves on meanwhile is seen at the next."""
        return unread(self.sock) > 0 or self._held is not None or self.log is not None

    def look_ahead(self, packet: Packet, flags: int) -> None:
        """Hold the descriptors of a switch that is the next packet.

        Raises IpcIOError if they do not fit under this process's limit. The switch then stays in
        the socket: everything that its sender has in its log, and will put there, would be lost.
        """
        self._let_go()
        size, ancillary, found, _ = self.sock.recvmsg_into(
            packet.buffers, ANCILLARY_SPACE, flags | _socket.MSG_PEEK
        )
        self._held = received_fds(ancillary)
        switch, cut = packet.view[:size] == _SWITCH, found & _socket.MSG_CTRUNC
        if cut or not switch:
            self._let_go()
        if cut and switch:
            raise io_error(errno.EMFILE, "queued messages wait: too many open files here")

    def take_apart(
        self, packet: memoryview, ancillary: list[tuple[int, int, bytes]], flags: int
    ) -> Message | None:
        """Return the message in a packet of any form; None for one that leads to a log.

        Raises DecodeError for a packet that is not well-formed, IpcIOError for one that lost its
        descriptors, Disconnected at the end of the channel.
        """
        fds = received_fds(ancillary)
        try:
            try:
                # The table of descriptors has filled up since look_ahead: use the copies it holds.
                if self._held and flags & _socket.MSG_CTRUNC and packet == _SWITCH:
                    fds, self._held, flags = self._held, fds, 0
                if flags & _socket.MSG_CTRUNC:
                    raise io_error(
                        errno.EMFILE, "a message lost its attachments: too many open files here"
                    )
                if flags & _socket.MSG_TRUNC:
                    raise DecodeError("a packet is larger than this protocol allows")
                if not packet:
                    raise self._end_or_empty_packet()
                frame = Frame(packet)
            except BaseException:
                close_fds(fds)
                raise
            if frame.flags == wire.SWITCH_AHEAD:
                close_fds(fds)
                self._expect_switch()
                return None
            if frame.flags == wire.SWITCH:
                self.ahead -= self.ahead > 0
                self.log = open_log(fds)
                self._show_log(True)
                return None
            return message(frame, fds, self._makers)
        finally:
            # After the log is open: a thread that asks `has_messages` in between sees one of them.
            if self._held is not None:
                self._let_go()

    def next_in_log(self, log: LogReader) -> Message | None:
        """Return the next message of the log; None, with the log closed, at its end."""
        record = None
        try:
            record = log.next()
            if record is None:
                return None
            body, token = record
            if body.startswith(PLAIN):
                return body[HEADER_SIZE:], ()
            return message_in_log(log, memoryview(body), token, self._makers)
        finally:
            # A log that cannot be read any further has given no record, and is closed too.
            if record is None or log.drained:
                self._close_log()

    def lend(self) -> tuple[int, list[int]]:
        """Return the number and the descriptors with which `incoming_from_fds` goes on here."""
        number, fds = self.ahead, [self.sock.fileno()]
        if self.log is not None:
            number += self.log.offset << _AHEAD_BITS
            fds.append(self.log.memory.fd)
            if self.log.queue:
                fds.append(self.log.queue.sock.fileno())
        return number, fds

    def fileno(self) -> int:
        """Return a descriptor that polls readable while there are messages; made on first use."""
        if self._readiness is None:
            self._readiness = Readiness(self.sock.fileno())
            self._show_log(self.log is not None)  # last: a thread may open or close one just now
        return self._readiness.fileno()

    def after_fork(self) -> None:
        """In a forked child, replace the part of the descriptor that is shared with the parent."""
        if self._readiness:
            self._readiness.renew(self.sock.fileno())
            self._show_log(self.log is not None)

    def close(self) -> None:
        """Drop everything that is unread. Closing twice does nothing."""
        self._close_log()
        self._let_go()
        if self._readiness:
            self._readiness.close()
        self.sock.close()

    def _expect_switch(self) -> None:
        if self.ahead == _MOST_AHEAD:
            raise DecodeError("a peer announces more overflow logs than there can be")
        self.ahead += 1

    def _end_or_empty_packet(self) -> IpcError:
        """Tell the end of the channel from a packet without a byte, which no sender here sends."""
        if unread(self.sock) or not wait({self.sock.fileno(): select.POLLRDHUP}, 0):
            return DecodeError("an empty packet is not a message")
        return Disconnected("every sender is gone")

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held:
            close_fds(held)

    def _close_log(self) -> None:
        log, self.log = self.log, None
        if log is not None:
            log.close()
            self._show_log(False)

    def _show_log(self, shown: bool) -> None:
        if self._readiness:
            self._readiness.in_log.set(shown)


def incoming_from_fds(fds: list[int], number: int, makers: Makers) -> Incoming:
    """Make the queue of a receiver that was sent, at its position.

    Takes over the descriptors, also on errors. Raises DecodeError if they are not a receiver's.
    """
    if not 1 <= len(fds) <= 3:
        close_fds(fds)
        raise DecodeError(f"a receiver cannot have {len(fds)} descriptors")
    sock_fd, *log_fds = fds
    try:
        sock = adopt_socket(sock_fd)
    except BaseException:
        close_fds(log_fds)
        raise
    try:
        log = open_log(log_fds, number >> _AHEAD_BITS) if log_fds else None
    except BaseException:
        sock.close()
        raise
    return Incoming(sock, makers, log, number & _MOST_AHEAD)


def open_log(fds: list[int], offset: int = 0) -> LogReader:
    """Start to read a log that a switch brought, or go on in one that came with its receiver.

    Takes over the descriptors, also on errors. Raises DecodeError if they are not those of a log.
    """
    if len(fds) not in (1, 2):
        close_fds(fds)
        raise DecodeError(f"an overflow log cannot have {len(fds)} descriptors")
    memory = Descriptor(fds[0])
    try:
        queue = QueueReader(adopt_socket(fds[1])) if len(fds) == 2 else None
    except BaseException:
        memory.close()
        raise
    return LogReader(memory, queue, offset)
