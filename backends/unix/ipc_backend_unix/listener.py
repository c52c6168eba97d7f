"""The one-shot server: a socket in a private folder, at which one client connects."""

from __future__ import annotations

import _socket
import errno
import os
import select
import struct
import time
from collections.abc import Sequence

from ipc_backend_unix.attachments import Makers
from ipc_backend_unix.closing import Closing
from ipc_backend_unix.descriptors import Socket, acquire, wait
from ipc_backend_unix.errors import io_error, translated
from ipc_backend_unix.incoming import Incoming
from ipc_backend_unix.overflow import SEND_BUFFER, set_send_buffer
from ipc_backend_unix.readiness import Flag
from ipc_backend_unix.receiver import UnixReceiver
from ipc_backend_unix.sender import UnixSender
from ipc_backend_unix.server_folder import TAKEN, WAITING, occupy
from ipc_backend_unix.writer import ChannelWriter
from ipc_core.spi import Attachment, ClosedError, Empty, IpcError, Payload

_CREDENTIALS = struct.Struct("iII")


class UnixOneShotServer(Closing):
    """See OsIpcOneShotServer.

    Only processes of this user can enter the folder (mode 0700), and the user of the client, as the
    kernel states it (SO_PEERCRED), is checked before anything is read.
    """

    def __init__(self, makers: Makers) -> None:
        self._makers = makers
        self._receiver: UnixReceiver | None = None
        """The client's channel, from when it connects until its first message is there."""
        self._wake = Flag()
        try:
            self._folder, self._listener = occupy()
        except IpcError:
            self._wake.close()
            raise
        except OSError as error:
            raise translated(error) from error
        self.name = self._folder.path
        super().__init__(mend_last=True)

    def accept(self, timeout: float | None) -> tuple[UnixReceiver, Payload, Sequence[Attachment]]:
        """See OsIpcOneShotServer.accept."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not acquire(self._lock, timeout):
            raise Empty("no client has connected")
        try:
            if self._closed:
                raise ClosedError("this server is closed, or has accepted its one client")
            if self._receiver is None:
                self._receiver = UnixReceiver(Incoming(self._client(deadline), self._makers))
                self._stop_listening()
            receiver = self._receiver
            left = None if deadline is None else max(0, deadline - time.monotonic())
            data, attachments = receiver.recv(left)
            self._receiver = None
            self.close()
            return receiver, data, attachments
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            self._leave()

    def _client(self, deadline: float | None) -> Socket:
        """Wait until a client of this user connects; turn others away."""
        while not self._closed:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            ready = wait(
                {self._listener.fileno(): select.POLLIN, self._wake.fileno(): select.POLLIN}, left
            )
            if not ready:
                raise Empty("no client has connected")
            if ready[0][0] != self._listener.fileno():
                continue
            sock = self._listener.accept()
            if _peer_uid(sock) == os.geteuid():
                return sock
            sock.close()
        raise ClosedError("this server is closed")

    def after_fork(self) -> None:
        """In a forked child, close this copy: the server stays with the parent."""
        self._closed = True
        super().after_fork()

    def _end_wait(self) -> None:
        self._wake.set(True)
        if self._receiver is not None:
            self._receiver.close()

    def _release_all(self) -> None:
        self._stop_listening()
        self._wake.close()
        if self._receiver is not None:
            self._receiver.close()

    def _stop_listening(self) -> None:
        self._folder.remove()
        self._listener.close()


def connect(name: str) -> UnixSender:
    """See Backend.connect. Renaming the socket claims it: a second client finds nothing."""
    try:
        return UnixSender(ChannelWriter(_claim(name)))
    except IpcError:
        raise
    except (
        FileNotFoundError,
        NotADirectoryError,
        ConnectionRefusedError,
        BlockingIOError,
    ) as error:
        raise io_error(
            error.errno or 0, "no server waits under this name: it is gone, or has its client"
        ) from error
    except OSError as error:
        raise translated(error) from error


def _claim(name: str) -> Socket:
    sock = Socket()
    try:
        os.rename(f"{name}/{WAITING}", f"{name}/{TAKEN}")
        sock.setblocking(False)  # a stranger may listen there, with a full queue
        sock.connect(f"{name}/{TAKEN}")
        sock.setblocking(True)
        if _peer_uid(sock) != os.geteuid():
            raise io_error(errno.EACCES, "the server under this name belongs to another user")
        set_send_buffer(sock, SEND_BUFFER)
    except BaseException:
        sock.close()
        raise
    return sock


def _peer_uid(sock: Socket) -> int:
    data = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid
