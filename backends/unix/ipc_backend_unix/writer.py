"""The sending side of one channel in this process, shared by a sender and its clones.

A message goes one of four ways. They are tried in this order:

1. The log, while there is one that the receiver has not sealed. Everything sent before is in the
   socket or in this log, so nothing overtakes and nothing is overtaken.
2. A packet with the payload inline, up to LARGEST_PACKET bytes of it.
3. For a larger payload, a packet that brings the memory in which it lies.
4. A new log, when the socket has no room for the packet or all memory is in use.

Each way takes the whole message or, where it cannot, leaves no trace of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ipc_backend_unix import wire
from ipc_backend_unix.descriptor_queue import QueueWriter
from ipc_backend_unix.descriptors import MAX_PER_PACKET, Socket, send_packet, unsent
from ipc_backend_unix.errors import translated
from ipc_backend_unix.overflow import SEND_BUFFER, Announcer, LogWriter, set_send_buffer
from ipc_backend_unix.payload_pool import PayloadPool
from ipc_backend_unix.wire import LARGEST_PACKET, SMALL, Entry
from ipc_core.spi import Buffer, ClosedError, IpcError, mend_after_fork, unheld

_MOST_BUFFERS = 500
"""More are joined first: one system call takes at most 1024 (IOV_MAX)."""


class ChannelWriter:
    """One socket, the log it overflows into, and memory for large payloads.

    It counts its users, senders and loans; the last one to release it closes the socket. The lock
    is reentrant, so that a signal handler or finalizer that sends in the middle of a send does not
    wait for itself. The announcer and the memory are made when they are first needed: most writers
    never overflow.
    """

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self.lock = threading.RLock()
        self.log: LogWriter | None = None
        self._pool: PayloadPool | None = None
        self._announcer: Announcer | None = None
        self._users = 1
        mend_after_fork(self)

    def retain(self) -> None:
        """Add a user. Raises ClosedError after the last one has gone."""
        with self.lock:
            if not self._users:
                raise ClosedError("this sender is closed")
            self._users += 1

    def release(self, sent: bool = False) -> None:
        """Drop a user, or end a loan, which is the same whether the message was sent or not."""
        with self.lock:
            self._users -= 1
            if not self._users:
                self._end_log()
                self._drop_pool()
                self.sock.close()

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        entries: Sequence[Entry] = (),
        fds: Sequence[int] = (),
    ) -> None:
        """Send one message. `entries` describe its attachments, and `fds`, which are borrowed, are
        their descriptors.

        Raises BrokenChannelError without a receiver, IpcIOError when the system refuses; nothing
        was sent then.
        """
        buffers: list[Buffer]
        buffers = [data] if isinstance(data, (bytes, bytearray, memoryview)) else list(data)
        if len(buffers) > _MOST_BUFFERS:
            buffers = [b"".join(buffers)]
        try:
            with self.lock:
                try:
                    if self.log is not None:
                        if self.log.append([wire.pack(0, entries), *buffers], fds):
                            return
                        self._end_log()  # the receiver has sealed it, and goes on in the socket
                    if not self._in_socket(buffers, entries, fds):
                        self._in_new_log([wire.pack(0, entries), *buffers], fds)
                except (BrokenPipeError, ConnectionResetError):
                    self._drop_pool()
                    raise
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error

    def after_fork(self) -> None:
        """Leave the log and the memory for payloads to the parent, which goes on to write there."""
        self.lock = unheld(self.lock)
        self._announcer = None
        log, self.log = self.log, None
        if log is not None:
            log.close()
        self._drop_pool()

    def _in_socket(
        self, buffers: list[Buffer], entries: Sequence[Entry], fds: Sequence[int]
    ) -> bool:
        """Try to send one packet; return False, with nothing sent, if the socket has no room."""
        flags, queue = 0, None
        size = sum(map(len, buffers))
        try:
            # One packet carries MAX_PER_PACKET descriptors, and one may be needed for memory. More
            # of them wait in a queue of their own, which is the only one in the packet.
            if len(fds) >= MAX_PER_PACKET:
                queue = QueueWriter()
                queue.put(0, fds)
                fds, flags = [queue.reader.fileno()], wire.QUEUED

            # The kernel would take a large packet into the last free bytes. Switches need those,
            # so it is sent only if as much stays free as it takes.
            head_size = wire.HEADER_SIZE + wire.ENTRY_SIZE * len(entries)
            inline = head_size + (size if size <= LARGEST_PACKET else wire.SIZE.size)
            if inline > SMALL and (
                inline > 2 * LARGEST_PACKET or unsent(self.sock) + 2 * inline > SEND_BUFFER
            ):
                return False

            if size <= LARGEST_PACKET:
                send_packet(self.sock, [wire.pack(flags, entries), *buffers], fds)
                return True
            head = wire.pack(flags | wire.IN_MEMORY, entries)
            return self._in_memory(buffers, size, head, fds)
        except BlockingIOError:
            return False
        finally:
            if queue:
                queue.close()

    def _in_memory(self, buffers: list[Buffer], size: int, head: bytes, fds: Sequence[int]) -> bool:
        """Send a packet that brings its payload in memory; return False if all memory is in use."""
        if self._pool is None:
            self._pool = PayloadPool()
        pool = self._pool
        region = pool.fill(buffers, size)
        if region is None:
            return False
        try:
            send_packet(self.sock, [head + wire.SIZE.pack(size)], [*fds, region.fd])
        except BaseException:
            pool.drop(region)
            raise
        pool.sent(region)
        return True

    def _in_new_log(self, record: Sequence[Buffer], fds: Sequence[int]) -> None:
        if self._announcer is None:
            self._announcer = Announcer(self.sock)
        self.log = LogWriter(self._announcer, record, fds)

    def _end_log(self) -> None:
        log, self.log = self.log, None
        if log is not None:
            log.close()
            set_send_buffer(self.sock, SEND_BUFFER)

    def _drop_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
