"""The receiving end of a channel: one thread at a time receives, any thread may close."""

from __future__ import annotations

import _socket
import select
import threading
import time
from collections.abc import Callable, Sequence

from ipc_backend_unix.attachments import Lendable, Makers
from ipc_backend_unix.closing import Closing
from ipc_backend_unix.descriptors import ANCILLARY_SPACE, wait
from ipc_backend_unix.errors import translated
from ipc_backend_unix.incoming import Incoming, Packet, incoming_from_fds, spare_packets
from ipc_backend_unix.wire import HEADER_SIZE, PLAIN
from ipc_core.spi import (
    Attachment,
    BriefLock,
    ClosedError,
    Disconnected,
    Empty,
    IpcError,
    Kind,
    NotSupportedError,
    Payload,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


_SPOILT = _socket.MSG_TRUNC | _socket.MSG_CTRUNC
"""Flags of a packet of which a part was cut off: of its bytes, or of its descriptors."""

_RECEIVE = _socket.MSG_CMSG_CLOEXEC
_RECEIVE_NOW = _socket.MSG_CMSG_CLOEXEC | _socket.MSG_DONTWAIT

_SOON = 0.001
"""Seconds within which a thread that has the lock and finds messages gives it back."""


class UnixReceiver(Closing, Lendable):
    """See OsIpcReceiver. The lock is held while receiving, so each message goes to one thread."""

    kind: ClassVar[Kind] = Kind.RECEIVER

    def __init__(self, incoming: Incoming) -> None:
        """Take over the queue and its descriptors."""
        self.socket = incoming.sock
        self._incoming = incoming
        self._lent = False
        super().__init__()  # last: from then on the destructor closes it

    def recv(self, timeout: float | None) -> tuple[Payload, Sequence[Attachment]]:
        """See OsIpcReceiver.recv.

        Each turn of the loop looks where the next message is: in the log if there is one, else in
        the socket. A turn without a message has waited, entered a log or come to its end.
        """
        incoming = self._incoming
        try:
            packet = spare_packets.pop()
        except IndexError:
            packet = Packet()
        # Without a timeout the kernel waits in recvmsg; with one, poll(2) does.
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
                if incoming.log is not None:
                    message = incoming.next_in_log(incoming.log)
                else:
                    try:
                        if incoming.ahead:
                            incoming.look_ahead(packet, flags)
                        size, ancillary, found, _ = self.socket.recvmsg_into(
                            packet.buffers, ANCILLARY_SPACE, flags
                        )
                    except BlockingIOError:
                        self._wait(deadline)
                        continue
                    except ConnectionResetError:
                        continue  # our own end had unread data; this queue may still have some
                    # A small message without attachments, which most are, takes no further call.
                    if (
                        size > HEADER_SIZE
                        and not ancillary
                        and not found & _SPOILT
                        and packet.buffer.startswith(PLAIN)
                    ):
                        return packet.view[HEADER_SIZE:size].tobytes(), ()
                    message = incoming.take_apart(packet.view[:size], ancillary, found)
                if message is not None:
                    return message
        except Disconnected:
            if self._closed:  # the end of the channel is the one that `_end_wait` has made
                raise ClosedError("this receiver was closed by another thread") from None
            raise
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
            if self._closed or not self._incoming.has_messages():
                raise Empty("no message has arrived")

    def _wait(self, deadline: float | None) -> None:
        timeout = None if deadline is None else deadline - time.monotonic()
        if timeout is not None and timeout <= 0:
            raise Empty("no message has arrived")
        wait({self.socket.fileno(): select.POLLIN}, timeout)

    @property
    def in_use(self) -> bool:
        """Whether another thread receives on it, or sends it away."""
        if not self._lock.acquire(blocking=False):
            return True
        self._lock.release()
        return False

    @property
    def has_log(self) -> bool:
        """Whether there are messages that the socket does not show."""
        return self._incoming.log is not None

    def fileno(self) -> int:
        """See OsIpcReceiver.fileno. The descriptor is made on first use."""
        with _making_fileno:
            if self._closed:
                raise ClosedError("this receiver is closed")
            return self._incoming.fileno()

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready."""
        raise NotSupportedError("wait for the descriptor that fileno() returns")

    def lend(self) -> tuple[int, list[int], Callable[[bool], object]]:
        """See Lendable.lend. The lock is held until the loan ends, so that nobody receives."""
        if self._closed:
            raise ClosedError("this receiver is closed")
        if not self._lock.acquire(blocking=False):
            raise IpcError("this receiver cannot be sent: another thread is receiving on it")
        if self._lent:  # by this thread, for which the lock is reentrant
            self._lock.release()
            raise IpcError("a message cannot carry one receiver twice")
        try:
            self._lent = True
            # Closed before `_end_wait` could see that it is lent, the socket may be shut down.
            if self._closed:
                raise ClosedError("this receiver is closed")
            number, fds = self._incoming.lend()
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

    def after_fork(self) -> None:
        """See Closing.after_fork."""
        super().after_fork()
        self._lent = False
        if not self._closed:
            self._incoming.after_fork()

    def _end_wait(self) -> None:
        if self._lent:
            return  # the thread that has the lock sends the receiver away, and does not wait
        try:
            self.socket.shutdown(_socket.SHUT_RD)
        except OSError:
            pass  # nobody is left at the other end, so nobody waits here either

    def _release_all(self) -> None:
        self._incoming.close()


_making_fileno = BriefLock()


def receiver_from_fds(fds: list[int], number: int, makers: Makers) -> UnixReceiver:
    """Make a received receiver. See Makers, which its own messages need too."""
    return UnixReceiver(incoming_from_fds(fds, number, makers))
