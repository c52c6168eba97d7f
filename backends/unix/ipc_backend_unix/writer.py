"""The sending side of one channel in this process, shared by a sender and its clones."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ipc_backend_unix import wire
from ipc_backend_unix.attachments import NOTHING_LENT, Lent
from ipc_backend_unix.descriptor_queue import QueueWriter
from ipc_backend_unix.descriptors import (
    MAX_PER_PACKET,
    Socket,
    send_packet,
    unsent,
)
from ipc_backend_unix.errors import translated
from ipc_backend_unix.overflow import SEND_BUFFER, Announcer, LogWriter, set_send_buffer
from ipc_backend_unix.payload_pool import PayloadPool
from ipc_core.spi import Attachment, Buffer, ClosedError, IpcError, mend_after_fork, unheld

SMALL = 8000
"""Payloads up to this are tried in the socket at once, without asking how full it is."""

LARGEST_PACKET = 32768
"""Above this a payload rides in memory: large packets eat the room that hops need."""

_MOST_BUFFERS = 500


class SendLine:
    """One socket, the log it overflows into, and memory for large payloads.

    The lock is reentrant, so that a signal handler or finalizer that sends in the middle of a
    send does not wait for itself.
    """

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self.lock = threading.RLock()
        self.log: LogWriter | None = None
        self._pool = PayloadPool()
        self._announcer = Announcer(sock)
        self._users = 1
        mend_after_fork(self)

    def retain(self) -> None:
        with self.lock:
            if not self._users:
                raise ClosedError("this sender is closed")
            self._users += 1

    def release(self) -> None:
        with self.lock:
            self._users -= 1
            if not self._users:
                self._end_log()
                self._pool.close()
                self.sock.close()

    def send(self, data: Buffer | Sequence[Buffer], attachments: Sequence[Attachment]) -> None:
        """See OsIpcSender.send."""
        buffers: list[Buffer]
        buffers = [data] if isinstance(data, (bytes, bytearray, memoryview)) else list(data)
        if len(buffers) > _MOST_BUFFERS:
            buffers = [b"".join(buffers)]
        try:
            with Lent(attachments) if attachments else NOTHING_LENT as lent, self.lock:
                self._send(buffers, sum(map(len, buffers)), lent)
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error

    def _send(self, buffers: list[Buffer], size: int, lent: Lent) -> None:
        try:
            if self.log is not None:
                if self.log.append([wire.pack(0, lent.entries), *buffers], lent.fds):
                    return
                self._end_log()
            if not self._in_socket(buffers, size, lent):
                record = [wire.pack(0, lent.entries), *buffers]
                self.log = LogWriter(self._announcer, record, lent.fds)
        except (BrokenPipeError, ConnectionResetError):
            self._pool.close()
            raise

    def after_fork(self) -> None:
        """The log and the memory for payloads are the parent's, which goes on to write there."""
        self.lock = unheld(self.lock)
        self._announcer = Announcer(self.sock)
        log, self.log = self.log, None
        if log is not None:
            log.close()
        self._pool.close()

    def _end_log(self) -> None:
        log, self.log = self.log, None
        if log is not None:
            log.close()
            set_send_buffer(self.sock, SEND_BUFFER)

    def _in_socket(self, buffers: list[Buffer], size: int, lent: Lent) -> bool:
        """Try to send one packet; False, with nothing sent, when the socket has no room."""
        fds, flags, queue = lent.fds, 0, None
        try:
            if len(fds) >= MAX_PER_PACKET:
                queue = QueueWriter()
                queue.put(0, fds)
                fds, flags = [queue.reader.fileno()], wire.QUEUED
            head_size = wire.HEADER_SIZE + wire.ENTRY_SIZE * len(lent.entries)
            in_line = head_size + (size if size <= LARGEST_PACKET else wire.SIZE.size)
            if in_line > SMALL and (
                in_line > 2 * LARGEST_PACKET or unsent(self.sock) + 2 * in_line > SEND_BUFFER
            ):
                return False
            if size <= LARGEST_PACKET:
                send_packet(self.sock, [wire.pack(flags, lent.entries), *buffers], fds)
                return True
            return self._in_memory(
                buffers, size, wire.pack(flags | wire.IN_MEMORY, lent.entries), fds
            )
        except BlockingIOError:
            return False
        finally:
            if queue:
                queue.close()

    def _in_memory(self, buffers: list[Buffer], size: int, head: bytes, fds: Sequence[int]) -> bool:
        region = self._pool.fill(buffers, size)
        if region is None:
            return False
        try:
            send_packet(self.sock, [head + wire.SIZE.pack(size)], [*fds, region.fd])
        except BaseException:
            self._pool.drop(region)
            raise
        self._pool.sent(region)
        return True
