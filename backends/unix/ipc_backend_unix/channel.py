"""Both ends of a channel: one SOCK_SEQPACKET socket pair.

A small message is one packet, one system call on each side. What does not fit in a packet goes
through memory (`payload`), what the socket does not take into a log (`overflow`).
"""

from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, NoReturn

from ipc_backend_unix import frame, incoming
from ipc_backend_unix.attachments import makes
from ipc_backend_unix.descriptors import (
    ANCILLARY_SPACE,
    Socket,
    adopt_socket,
    close_fds,
    pair,
    received_fds,
    unread,
    wait,
)
from ipc_backend_unix.errors import io_error, translated
from ipc_backend_unix.exclusive import Exclusive
from ipc_backend_unix.frame import HEADER_SIZE, PLAIN
from ipc_backend_unix.overflow import SEND_BUFFER, LogReader, set_send_buffer
from ipc_backend_unix.packet import Packet, spare_packets
from ipc_backend_unix.readiness import Flag, Readiness
from ipc_backend_unix.send_line import SMALL, SendLine
from ipc_core.spi import (
    Attachment,
    BriefLock,
    Buffer,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    IpcError,
    Kind,
    NotSupportedError,
)

_SPOILT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)  # an int: the enum is slow
_DONTWAIT = int(socket.MSG_DONTWAIT)
_RECEIVE = int(socket.MSG_CMSG_CLOEXEC)
_RECEIVE_NOW = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)


def make_channel() -> tuple[UnixSender, UnixReceiver]:
    try:
        sending, receiving = pair()
    except OSError as error:
        raise translated(error) from error
    set_send_buffer(sending, SEND_BUFFER)
    return UnixSender(SendLine(sending)), UnixReceiver(receiving)


class UnixSender:
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER

    def __init__(self, line: SendLine) -> None:
        self._line: SendLine | None = line
        self._waiting: set[Flag] = set()

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send; what was accepted is in the kernel and survives this process."""
        line = self._line
        if line is None:
            raise ClosedError("this sender is closed")
        if type(data) is bytes and not attachments and len(data) <= SMALL:
            line.lock.acquire()
            try:
                if line.log is None:
                    line.sock.send(PLAIN + data, _DONTWAIT)
                    return
                if line.log.append_frame(PLAIN + data):
                    return
            except BlockingIOError:
                pass
            except IpcError:
                raise
            except OSError as error:
                raise translated(error) from error
            finally:
                line.lock.release()
        line.send(data, attachments)

    def clone(self) -> UnixSender:
        """See OsIpcSender.clone; clones share one descriptor."""
        line = self._open_line()
        line.retain()
        return UnixSender(line)

    def wait_closed(self, timeout: float | None) -> bool:
        line = self._open_line()
        closed_here = Flag()
        self._waiting.add(closed_here)
        line.retain()
        try:
            fd = line.sock.fileno()
            events = wait({fd: 0, closed_here.fileno(): select.POLLIN}, timeout)
            if self._line is None:
                raise ClosedError("this sender was closed")
            return any(ready == fd for ready, _ in events)
        finally:
            line.release()
            self._waiting.discard(closed_here)
            closed_here.close()

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            for flag in tuple(self._waiting):
                flag.set(True)
            line.release()

    __del__ = close

    def _open_line(self) -> SendLine:
        if self._line is None:
            raise ClosedError("this sender is closed")
        return self._line

    def _lend(self) -> tuple[int, list[int], Callable[[bool], None]]:
        line = self._open_line()
        line.retain()
        return 0, [line.sock.fileno()], lambda sent: line.release()


class UnixReceiver(Exclusive):
    """See OsIpcReceiver. The lock is held while receiving, so each message goes to one thread."""

    kind: ClassVar[Kind] = Kind.RECEIVER

    def __init__(self, sock: Socket, log: LogReader | None = None) -> None:
        super().__init__()
        self.socket = sock
        self._log = log
        self._readiness: Readiness | None = None
        self._lent = False

    def recv(self, timeout: float | None) -> tuple[Buffer, Sequence[Attachment]]:
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
                raise Empty("no message has arrived")
        try:
            while True:
                if self._closed:
                    raise ClosedError("this receiver is closed")
                if self._log is not None:
                    message = self._next_in_log(self._log)
                else:
                    try:
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
                    message = self._unusual(packet.view[:size], ancillary, found)
                if message is not None:
                    return message
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            spare_packets.append(packet)
            self._leave()

    def _wait(self, deadline: float | None) -> None:
        timeout = None if deadline is None else deadline - time.monotonic()
        if timeout is not None and timeout <= 0:
            raise Empty("no message has arrived")
        wait({self.socket.fileno(): select.POLLIN}, timeout)

    def _unusual(
        self, packet: memoryview, ancillary: list[tuple[int, int, bytes]], flags: int
    ) -> tuple[bytes, Sequence[Attachment]] | None:
        """Take apart what is not a small message without attachments; None for a hop."""
        fds = received_fds(ancillary)
        if flags & _SPOILT:
            close_fds(fds)
            if flags & socket.MSG_CTRUNC:
                raise io_error(
                    errno.EMFILE, "a message lost its attachments: too many open files here"
                )
            raise DecodeError("a packet is larger than this protocol allows")
        if not packet:
            close_fds(fds)
            self._nothing_read()
        try:
            parsed = frame.parse(packet)
        except DecodeError:
            close_fds(fds)
            raise
        if parsed.flags == frame.HOP:
            self._log = incoming.open_log(fds)
            if self._readiness:
                self._readiness.in_log.set(True)
            return None
        return incoming.message(parsed, fds)

    def _nothing_read(self) -> NoReturn:
        """Tell the end of the channel from a packet without a byte, which no sender here sends."""
        if self._closed:
            raise ClosedError("this receiver was closed by another thread")
        if unread(self.socket) or not wait({self.socket.fileno(): select.POLLRDHUP}, 0):
            raise DecodeError("an empty packet is not a message")
        raise Disconnected("every sender is gone")

    def _next_in_log(self, log: LogReader) -> tuple[bytes, Sequence[Attachment]] | None:
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
    def has_log(self) -> bool:
        """Whether messages wait that the socket does not show."""
        return self._log is not None

    def fileno(self) -> int:
        """See OsIpcReceiver.fileno; made on first use."""
        with _readiness_lock:
            if self._closed:
                raise ClosedError("this receiver is closed")
            if self._readiness is None:
                self._readiness = Readiness(self.socket.fileno(), self._log is not None)
            return self._readiness.fileno()

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready."""
        raise NotSupportedError("wait for the descriptor that fileno() returns")

    def after_fork(self) -> None:
        super().after_fork()
        self._lent = False
        if self._readiness:
            self._readiness.renew(self.socket.fileno(), self._log is not None)

    def _end_wait(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # nobody is left at the other end, so nobody waits here either

    def _release_all(self) -> None:
        self._close_log()
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
            fds, offset = [self.socket.fileno()], 0
            if self._log is not None:
                offset = self._log.offset
                fds.append(self._log.memory.fd)
                if self._log.queue:
                    fds.append(self._log.queue.sock.fileno())
            return offset, fds, self._given_back
        except BaseException:
            self._given_back(False)
            raise

    def _given_back(self, sent: bool) -> None:
        self._lent = False
        if sent:
            self._closed = True
            self._release_all()
        self._lock.release()


_readiness_lock = BriefLock()


@makes(Kind.SENDER)
def _make_sender(fds: list[int], number: int) -> UnixSender:
    if len(fds) != 1:
        close_fds(fds)
        raise DecodeError(f"a sender cannot have {len(fds)} descriptors")
    return UnixSender(SendLine(adopt_socket(fds[0])))


@makes(Kind.RECEIVER)
def _make_receiver(fds: list[int], offset: int) -> UnixReceiver:
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
        log = incoming.open_log(log_fds, offset) if log_fds else None
    except BaseException:
        sock.close()
        raise
    return UnixReceiver(sock, log)
