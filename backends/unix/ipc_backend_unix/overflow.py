"""The log of a sender that finds its socket full: a memfd that is appended to, then drained.

The sender appends records to the log and announces it by one packet in the socket, the switch. The
receiver that meets the switch seals the log against growing, drains it and goes on in the socket;
the sender's next append fails with EPERM, and it too goes back to the socket. So unread messages
live in the kernel, cost one descriptor, and stay in order.

A switch that is taken where the table of descriptors is full is lost, and the log with it. So a
packet without descriptors, the switch ahead, goes before it: from there on the receiver looks at
each packet before it takes it.

A record is its length, a token, and a frame. Descriptors are in a queue that the switch carries,
under the record's token. A sender killed in the middle of a record leaves a torn tail, which the
receiver discards.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import struct
import time
from collections.abc import Sequence

from ipc_backend_unix import wire
from ipc_backend_unix.descriptor_queue import QueueReader, QueueWriter
from ipc_backend_unix.descriptors import (
    Descriptor,
    Socket,
    after,
    filled,
    freeze_size,
    hangup_poll,
    new_memory,
    read_at,
    send_packet,
    unsent,
)
from ipc_backend_unix.errors import broken, io_error
from ipc_core.spi import Buffer, DecodeError

SEND_BUFFER = 131072
"""Bytes of kernel memory that a channel's socket holds (SO_SNDBUF after its doubling)."""

_RESERVE_END = 425984
"""Bytes up to which a socket's limit is raised for switches: the most that Linux grants by default
(net.core.wmem_max, doubled). Above SEND_BUFFER is the reserve, which only switches use."""

_ANNOUNCE_TRIES = 100
"""Tries at once, before a sender waits a little between two."""
_ANNOUNCE_SECONDS = 0.5
"""The time after which a sender gives up."""

_CHUNK = 1 << 18
"""Bytes of a log that are read at once."""

_RECORD = struct.Struct("<QQ")


class Announcer:
    """The way of a switch into a full socket.

    The kernel admits a packet while less of the socket is taken than its limit (SO_SNDBUF), and the
    limit is the sender's to set. So a sender raises it just above the bytes that are taken, which
    admits exactly one packet. The limit goes back to SEND_BUFFER when the log ends or the
    announcement fails. All senders of a channel, in all processes, share one socket, its limit and
    the reserve up to _RESERVE_END; a sender that loses the room to another tries again.
    """

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self._switch_is_ahead = False

    def announce(self, fds: Sequence[int]) -> None:
        """Send a switch that carries `fds`, and a switch ahead before it.

        Raises OSError or IpcIOError, with no switch sent, if the system holds no more.
        """
        deadline = time.monotonic() + _ANNOUNCE_SECONDS
        try:
            if not self._switch_is_ahead:
                self._squeeze_in(wire.pack(wire.SWITCH_AHEAD, []), (), deadline)
                # True also after the switch has failed: that of the next log follows it then.
                self._switch_is_ahead = True
            self._squeeze_in(wire.pack(wire.SWITCH, []), fds, deadline)
        except BaseException:
            set_send_buffer(self.sock, SEND_BUFFER)
            raise
        self._switch_is_ahead = False

    def _squeeze_in(self, packet: bytes, fds: Sequence[int], deadline: float) -> None:
        """Admit one packet and send it.

        Raising the limit for one packet at a time, as opposed to raising it fully and lowering it
        again, costs no more than one packet of the reserve if this process is killed in between.
        """
        tries = 0
        while True:
            room = min(max(SEND_BUFFER, unsent(self.sock) + 2), _RESERVE_END)
            set_send_buffer(self.sock, room)
            try:
                return send_packet(self.sock, [packet], fds)
            except BlockingIOError:
                tries += 1  # another sender has sent a packet into the same room
            if tries > _ANNOUNCE_TRIES:
                if time.monotonic() > deadline:
                    raise io_error(
                        errno.ENOBUFS, "too many senders wait for this receiver: its socket is full"
                    )
                time.sleep(0.001)


class LogWriter:
    """The log at its sender. It starts with the record for which the socket had no room."""

    def __init__(self, announcer: Announcer, record: Sequence[Buffer], fds: Sequence[int]) -> None:
        self._memory = new_memory()
        self._receiver_gone = hangup_poll(announcer.sock).poll
        self._queue = QueueWriter() if fds else None
        self._token = 0
        try:
            # Appending needs no offset here that an interrupted call could leave wrong.
            fcntl.fcntl(self._memory.fd, fcntl.F_SETFL, os.O_APPEND)
            # The record first: a receiver that meets the switch seals the log at once.
            self._write(record, fds)
            announcer.announce([self._memory.fd, *self._queue_fds()])
        except BaseException:
            self.close()
            raise
        if self._queue:
            self._queue.reader.close()

    def append_frame(self, data: bytes) -> bool:
        """Add a record without descriptors. See `append`."""
        if self._receiver_gone(0):
            raise broken()
        record = _RECORD.pack(len(data), 0) + data
        try:
            written = os.write(self._memory.fd, record)
        except PermissionError:
            return False
        if written < len(record):
            self._undo(written)
            return self.append([data], ())  # which raises the error, if there is no room
        return True

    def append(self, record: Sequence[Buffer], fds: Sequence[int]) -> bool:
        """Add a record. Return False, with nothing added, if this log takes no more: go on in the
        socket.

        Raises BrokenChannelError without a receiver; OSError, with nothing added, without room.
        """
        if self._receiver_gone(0):
            raise broken()
        if fds and self._queue is None:
            return False
        try:
            self._write(record, fds)
        except (PermissionError, BrokenPipeError, ConnectionResetError):
            return False  # the receiver has sealed or drained it
        return True

    def _write(self, record: Sequence[Buffer], fds: Sequence[int]) -> None:
        """Append a record. On any error nothing was added.

        Its descriptors go into the queue first, so that they are there when the record is read.
        """
        self._token += 1
        if fds and self._queue:
            self._queue.put(self._token, fds)
        size = sum(map(len, record))
        buffers = [_RECORD.pack(size, self._token), *record]
        missing = size + _RECORD.size
        written = 0
        try:
            while missing:
                if written:
                    buffers = after(buffers, written)
                written = os.writev(self._memory.fd, buffers)
                missing -= written
        except BaseException:
            self._undo(size + _RECORD.size - missing)
            if fds and self._queue:
                self._queue.close()  # it holds descriptors that no record announces
                self._queue = None
            raise

    def _undo(self, added: int) -> None:
        """Take back the last `added` bytes."""
        fd = self._memory.fd
        try:
            os.ftruncate(fd, os.fstat(fd).st_size - added)
        except PermissionError:
            pass  # sealed by the receiver, which discards the torn record

    def _queue_fds(self) -> list[int]:
        return [self._queue.reader.fileno()] if self._queue else []

    def close(self) -> None:
        """Give up the log; the receiver that has it reads on."""
        self._memory.close()
        if self._queue:
            self._queue.close()


class LogReader:
    """The log at its receiver, from the switch to its end."""

    def __init__(self, memory: Descriptor, queue: QueueReader | None, offset: int = 0) -> None:
        """Take over both. Raises DecodeError, with both closed, if it is not a log."""
        self.memory = memory
        self.queue = queue
        self._chunk, self._chunk_start, self._at = b"", offset, 0
        try:
            self._size = freeze_size(memory.fd)
            if self._size > filled(memory.fd):
                raise DecodeError("an overflow log has holes")
        except BaseException:
            self.close()
            raise

    def next(self) -> tuple[bytes, int] | None:
        """Return the next record's frame and token; None at the end of the log.

        Raises DecodeError where the log has no further records that could be read. A log without a
        message is one: a peer that kept announcing those could keep a receiver busy for ever.
        """
        if self._load(_RECORD.size):
            size, token = _RECORD.unpack_from(self._chunk, self._at)
            if size < wire.HEADER_SIZE:
                raise DecodeError(f"a record of {size} bytes is no frame")
            if self._load(_RECORD.size + size):
                start = self._at + _RECORD.size
                self._at = start + size
                return self._chunk[start : self._at], token
        if not self.offset:
            raise DecodeError("an overflow log holds no message")
        return None

    def _load(self, wanted: int) -> bool:
        """Load `wanted` bytes from the next record on; return False if the log ends before."""
        if self._at + wanted <= len(self._chunk):
            return True
        start = self.offset
        if wanted > self._size - start:
            return False
        self._chunk = read_at(self.memory.fd, start, wanted, _CHUNK)
        self._chunk_start, self._at = start, 0
        return True

    @property
    def offset(self) -> int:
        """The position of the next record in the log, in bytes."""
        return self._chunk_start + self._at

    @property
    def drained(self) -> bool:
        """Whether no further record fits before the end."""
        return self.offset + _RECORD.size > self._size

    def close(self) -> None:
        """Drop the rest of the log."""
        self.memory.close()
        if self.queue:
            self.queue.close()


def set_send_buffer(sock: Socket, size: int) -> None:
    """Let a socket hold `size` bytes. The kernel doubles the number it is given."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, size // 2)
