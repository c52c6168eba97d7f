"""Where messages go when the socket is full: a memfd that is appended to, then drained.

The sender announces its log by one packet in the socket, the hop, and appends records. The
receiver that meets the hop seals the log against growing, drains it and goes on in the socket;
the sender's next append fails with EPERM, and it too goes back to the socket. So what was sent
lives in the kernel, costs one descriptor, and stays in order.

A hop that is taken where the table of descriptors is full is lost, and the log with it. So a
notice goes before it: from there on the receiver looks before it takes.

A record is its length, a token, and a frame. Descriptors are in a queue that the hop carries,
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
"""What a channel's socket holds, in bytes of kernel memory (SO_SNDBUF after its doubling)."""

_RESERVE_END = 425984
_ANNOUNCE_TRIES = 100
_ANNOUNCE_SECONDS = 0.5
_CHUNK = 1 << 18

_RECORD = struct.Struct("<QQ")


class Announcer:
    """Puts hops into a full socket."""

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self._noticed = False

    def announce(self, fds: Sequence[int]) -> None:
        """Raises OSError or IpcIOError, with no hop sent, where the system holds no more."""
        deadline = time.monotonic() + _ANNOUNCE_SECONDS
        try:
            if not self._noticed:
                self._squeeze_in(wire.pack(wire.NOTICE, []), (), deadline)
                self._noticed = True  # also if its hop fails: that of the next try follows it
            self._squeeze_in(wire.pack(wire.HOP, []), fds, deadline)
        except BaseException:
            set_send_buffer(self.sock, SEND_BUFFER)
            raise
        self._noticed = False

    def _squeeze_in(self, packet: bytes, fds: Sequence[int], deadline: float) -> None:
        """Only the sender decides how much its socket holds. Letting in one packet at a time, as
        opposed to raising the limit and lowering it again, costs one packet of the reserve if this
        process is killed in between."""
        tries = 0
        while True:
            room = min(max(SEND_BUFFER, unsent(self.sock) + 2), _RESERVE_END)
            set_send_buffer(self.sock, room)
            try:
                return send_packet(self.sock, [packet], fds)
            except BlockingIOError:
                tries += 1
            if tries > _ANNOUNCE_TRIES:
                if time.monotonic() > deadline:
                    raise io_error(
                        errno.ENOBUFS, "too many senders wait for this receiver: its socket is full"
                    )
                time.sleep(0.001)


class LogWriter:
    """A sender's log. It starts with the record that found the socket full."""

    def __init__(self, announcer: Announcer, record: Sequence[Buffer], fds: Sequence[int]) -> None:
        self._memory = new_memory()
        self._receiver_gone = hangup_poll(announcer.sock).poll
        self._queue = QueueWriter() if fds else None
        self._token = 0
        try:
            # Appending needs no offset of ours that an interrupted call could leave wrong.
            fcntl.fcntl(self._memory.fd, fcntl.F_SETFL, os.O_APPEND)
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
            return self.append([data], ())  # which finds out what there is no room for
        return True

    def append(self, record: Sequence[Buffer], fds: Sequence[int]) -> bool:
        """Add a record. False, with nothing added: this log takes no more, go on in the socket.

        Raises BrokenChannelError without a receiver, OSError, with nothing added, without room.
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
                self._queue.close()  # it holds what no record announces: another log goes on
                self._queue = None
            raise

    def _undo(self, added: int) -> None:
        fd = self._memory.fd
        try:
            os.ftruncate(fd, os.fstat(fd).st_size - added)
        except PermissionError:
            pass  # sealed by the receiver, which discards the torn record

    def _queue_fds(self) -> list[int]:
        return [self._queue.reader.fileno()] if self._queue else []

    def close(self) -> None:
        self._memory.close()
        if self._queue:
            self._queue.close()


class LogReader:
    """The receiver's side of a log, from the hop to its end."""

    def __init__(self, memory: Descriptor, queue: QueueReader | None, offset: int = 0) -> None:
        """Raises DecodeError, with both descriptors closed, if it is not a log."""
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
        """The next record's frame and token; None at the end of the log.

        Raises DecodeError where the log has no further records that could be read. One without a
        message is such a log: whoever kept announcing those could keep a receiver busy for ever.
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
        """Have so much from the next record on in the chunk; False if the log ends before."""
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
        """Where the next record begins."""
        return self._chunk_start + self._at

    @property
    def drained(self) -> bool:
        return self.offset + _RECORD.size > self._size

    def close(self) -> None:
        self.memory.close()
        if self.queue:
            self.queue.close()


def set_send_buffer(sock: Socket, size: int) -> None:
    """Let a socket hold `size` bytes; the kernel doubles what it is told."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, size // 2)
