"""The receiving end: packets, and the log that a hop among them leads into."""

from __future__ import annotations

import _socket
import errno
import select
import threading
import time
from collections.abc import Callable, Sequence

from ipc_backend_unix import incoming, wire
from ipc_backend_unix.attachments import makes
from ipc_backend_unix.closing import Exclusive
from ipc_backend_unix.descriptors import (
    ANCILLARY_SPACE,
    Socket,
    adopt_socket,
    close_fds,
    received_fds,
    unread,
    wait,
)
from ipc_backend_unix.errors import io_error, translated
from ipc_backend_unix.overflow import LogReader
from ipc_backend_unix.packet import Packet, spare_packets
from ipc_backend_unix.readiness import Readiness
from ipc_backend_unix.wire import HEADER_SIZE, PLAIN
from ipc_core.spi import (
    Attachment,
    BriefLock,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    IpcError,
    Kind,
    NotSupportedError,
    Payload,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, NoReturn


_SPOILT = _socket.MSG_TRUNC | _socket.MSG_CTRUNC
_PEEK = _socket.MSG_PEEK
_RECEIVE = _socket.MSG_CMSG_CLOEXEC
_RECEIVE_NOW = _socket.MSG_CMSG_CLOEXEC | _socket.MSG_DONTWAIT

_HOP = wire.pack(wire.HOP, [])
_SOON = 0.001
"""Within it, a thread that has the lock and finds messages gives it back: seconds."""

_NOTICE_BITS = 10
_MOST_NOTICES = (1 << _NOTICE_BITS) - 1
"""More than a socket has room for."""


class UnixReceiver(Exclusive):
    """See OsIpcReceiver. The lock is held while receiving, so each message goes to one thread."""

    kind: ClassVar[Kind] = Kind.RECEIVER

    def __init__(self, sock: Socket, log: LogReader | None = None, noticed: int = 0) -> None:
        super().__init__()
        self.socket = sock
        self._log = log
        self._noticed = noticed
        self._held: list[int] | None = None
        """The descriptors of a hop, from before it leaves the socket until its log is open."""
        self._readiness: Readiness | None = None
        self._lent = False

    def recv(self, timeout: float | None) -> tuple[Payload, Sequence[Attachment]]:
        """See OsIpcReceiver.recv."""
        try:
            packet = spare_packets.pop()
        except IndexError:
            packet = Packet()
        if timeout is None:
            deadline, flags = None, _RECEIVE
            self._lock.acquire()
        else:
            deadline, flags = time.monotonic() + timeout, _RECEIVE_NOW
            if not self._lock.acquire(timeout=min(timeout, threading.TIMEOUT_MAX)):
                self._overtake()
        try:
            while True:
                if self._closed:
                    raise ClosedError("this receiver is closed")
                if self._log is not None:
                    message = self._next_in_log(self._log)
                else:
                    try:
                        if self._noticed:
                            self._look_ahead(packet, flags)
                        size, ancillary, found, _ = self.socket.recvmsg_into(
                            packet.buffers, ANCILLARY_SPACE, flags
                        )
                    except BlockingIOError:
                        self._wait(deadline)
                        continue
                    except ConnectionResetError:
                        continue  # our own end had unread data; this queue may still have some
                    if (
                        size > HEADER_SIZE
                        and not ancillary
                        and not found & _SPOILT
                        and packet.buffer.startswith(PLAIN)
                    ):
                        return packet.view[HEADER_SIZE:size].tobytes(), ()
                    try:
                        message = self._unusual(packet.view[:size], ancillary, found)
                    finally:
                        if self._held is not None:
                            self._let_go()
                if message is not None:
                    return message
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            spare_packets.append(packet)
            self._leave()

    def _overtake(self) -> None:
        """Take the lock from a thread that does not wait with it. Raises Empty if it does."""
        while not self._lock.acquire(timeout=_SOON):
            if self._closed or not self._has_messages():
                raise Empty("no message has arrived")

    def _has_messages(self) -> bool:
        """Whether any is left, asked in the order in which a hop leads into its log."""
        return unread(self.socket) > 0 or self._held is not None or self._log is not None

    def _wait(self, deadline: float | None) -> None:
        timeout = None if deadline is None else deadline - time.monotonic()
        if timeout is not None and timeout <= 0:
            raise Empty("no message has arrived")
        wait({self.socket.fileno(): select.POLLIN}, timeout)

    def _unusual(
        self, packet: memoryview, ancillary: list[tuple[int, int, bytes]], flags: int
    ) -> tuple[Payload, Sequence[Attachment]] | None:
        """Take apart what is not a small message without attachments; None for what is no
        message."""
        fds = received_fds(ancillary)
        if self._held and flags & _socket.MSG_CTRUNC and packet == _HOP:
            fds, self._held, flags = self._held, fds, 0
        if flags & _SPOILT:
            close_fds(fds)
            if flags & _socket.MSG_CTRUNC:
                raise io_error(
                    errno.EMFILE, "a message lost its attachments: too many open files here"
                )
            raise DecodeError("a packet is larger than this protocol allows")
        if not packet:
            close_fds(fds)
            self._nothing_read()
        try:
            parsed = wire.parse(packet)
        except DecodeError:
            close_fds(fds)
            raise
        if parsed.flags == wire.NOTICE:
            close_fds(fds)
            self._count_notice()
            return None
        if parsed.flags == wire.HOP:
            self._noticed -= self._noticed > 0
            self._log = incoming.open_log(fds)
            if self._readiness:
                self._readiness.in_log.set(True)
            return None
        return incoming.message(parsed, fds)

    def _count_notice(self) -> None:
        if self._noticed == _MOST_NOTICES:
            raise DecodeError("a peer announces more overflow logs than there can be")
        self._noticed += 1

    def _look_ahead(self, packet: Packet, flags: int) -> None:
        """Hold the descriptors of a hop before it is taken.

        If they do not fit under this process's limit it stays where it is: all that its sender
        has in its log, and will put there, would be lost with it.
        """
        self._let_go()
        size, ancillary, found, _ = self.socket.recvmsg_into(
            packet.buffers, ANCILLARY_SPACE, flags | _PEEK
        )
        self._held = received_fds(ancillary)
        hop, cut = packet.view[:size] == _HOP, found & _socket.MSG_CTRUNC
        if cut or not hop:
            self._let_go()
        if cut and hop:
            raise io_error(errno.EMFILE, "queued messages wait: too many open files here")

    def _let_go(self) -> None:
        held, self._held = self._held, None
        close_fds(held or ())

    def _nothing_read(self) -> NoReturn:
        """Tell the end of the channel from a packet without a byte, which no sender here sends."""
        if self._closed:
            raise ClosedError("this receiver was closed by another thread")
        if unread(self.socket) or not wait({self.socket.fileno(): select.POLLRDHUP}, 0):
            raise DecodeError("an empty packet is not a message")
        raise Disconnected("every sender is gone")

    def _next_in_log(self, log: LogReader) -> tuple[Payload, Sequence[Attachment]] | None:
        """The next message of the log; None, with the log closed, at its end."""
        record = None
        try:
            record = log.next()
            if record is None:
                return None
            body, token = record
            if body.startswith(PLAIN):
                return body[HEADER_SIZE:], ()
            return incoming.from_log(log, memoryview(body), token)
        finally:
            if record is None or log.drained:
                self._close_log()

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()
            if self._readiness:
                self._readiness.in_log.set(False)

    @property
    def in_use(self) -> bool:
        """Whether another thread receives on it, or sends it away."""
        if not self._lock.acquire(blocking=False):
            return True
        self._lock.release()
        return False

    @property
    def has_log(self) -> bool:
        """Whether messages wait that the socket does not show."""
        return self._log is not None

    def fileno(self) -> int:
        """See OsIpcReceiver.fileno; made on first use."""
        with _readiness_lock:
            if self._closed:
                raise ClosedError("this receiver is closed")
            if self._readiness is None:
                self._readiness = Readiness(self.socket.fileno())
                self._readiness.in_log.set(self._log is not None)  # last: recv may just open one
            return self._readiness.fileno()

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready."""
        raise NotSupportedError("wait for the descriptor that fileno() returns")

    def after_fork(self) -> None:
        super().after_fork()
        self._lent = False
        if self._readiness:
            self._readiness.renew(self.socket.fileno())
            self._readiness.in_log.set(self._log is not None)

    def _end_wait(self) -> None:
        if self._lent:
            return  # who has the lock sends it away, and does not wait
        try:
            self.socket.shutdown(_socket.SHUT_RD)
        except OSError:
            pass  # nobody is left at the other end, so nobody waits here either

    def _release_all(self) -> None:
        self._close_log()
        self._let_go()
        if self._readiness:
            self._readiness.close()
        self.socket.close()

    def _lend(self) -> tuple[int, list[int], Callable[[bool], None]]:
        if self._closed:
            raise ClosedError("this receiver is closed")
        if not self._lock.acquire(blocking=False):
            raise IpcError("this receiver cannot be sent: another thread is receiving on it")
        if self._lent:
            self._lock.release()
            raise IpcError("a message cannot carry one receiver twice")
        try:
            self._lent = True
            if self._closed:  # before it could see that this is lent, it may have been shut down
                raise ClosedError("this receiver is closed")
            fds, number = [self.socket.fileno()], self._noticed
            if self._log is not None:
                number += self._log.offset << _NOTICE_BITS
                fds.append(self._log.memory.fd)
                if self._log.queue:
                    fds.append(self._log.queue.sock.fileno())
            return number, fds, self._given_back
        except BaseException:
            self._given_back(False)
            raise

    def _given_back(self, sent: bool) -> None:
        self._lent = False
        if sent:
            self._closed = True
            self._release_all()
        self._leave()


_readiness_lock = BriefLock()


@makes(Kind.RECEIVER)
def _make_receiver(fds: list[int], number: int) -> UnixReceiver:
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
        log = incoming.open_log(log_fds, number >> _NOTICE_BITS) if log_fds else None
    except BaseException:
        sock.close()
        raise
    return UnixReceiver(sock, log, number & _MOST_NOTICES)
