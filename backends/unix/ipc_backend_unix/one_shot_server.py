"""A socket in a private folder, at which one client connects."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Sequence

from ipc_backend_unix.channel import UnixReceiver, UnixSender
from ipc_backend_unix.descriptors import Socket, acquire, wait
from ipc_backend_unix.errors import io_error, translated
from ipc_backend_unix.exclusive import Exclusive
from ipc_backend_unix.overflow import SEND_BUFFER, set_send_buffer
from ipc_backend_unix.readiness import Flag
from ipc_backend_unix.send_line import SendLine
from ipc_core.spi import Attachment, Buffer, ClosedError, Empty, IpcError

_WAITING = "waiting"
_TAKEN = "taken"
LONGEST_FOLDER = 60
"""An address is at most 107 bytes long (unix(7)); a long TMPDIR is passed over."""

_CREDENTIALS = struct.Struct("iII")


class UnixOneShotServer(Exclusive):
    """See OsIpcOneShotServer. Only processes of this user can enter the folder (mode 0700), and
    the kernel's word on who connected (SO_PEERCRED) is checked before anything is read."""

    def __init__(self) -> None:
        self._receiver: UnixReceiver | None = None
        self._wake = Flag()
        self.name = _new_folder()
        try:
            self._listener = Socket.new()
            self._listener.bind(f"{self.name}/{_WAITING}")
            self._listener.listen(0)
        except OSError as error:
            _remove(self.name)
            raise translated(error) from error
        super().__init__()

    def accept(self, timeout: float | None) -> tuple[UnixReceiver, Buffer, Sequence[Attachment]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not acquire(self._lock, timeout):
            raise Empty("no client has connected")
        try:
            if self._closed:
                raise ClosedError("this server is closed, or has accepted its one client")
            if self._receiver is None:
                self._receiver = UnixReceiver(self._client(deadline))
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
        while not self._closed:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            ready = wait(
                {self._listener.fileno(): select.POLLIN, self._wake.fileno(): select.POLLIN}, left
            )
            if not ready:
                raise Empty("no client has connected")
            if ready[0][0] != self._listener.fileno():
                continue
            client, _ = self._listener.accept()
            sock = Socket(client.detach())
            if _peer_uid(sock) == os.geteuid():
                return sock
            sock.close()
        raise ClosedError("this server is closed")

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
        if self._listener.fileno() >= 0:
            self._listener.close()
            _remove(self.name)


def connect(name: str) -> UnixSender:
    """See Backend.connect. Renaming the socket claims it, so a second client finds nothing."""
    sock = Socket.new()
    try:
        os.rename(f"{name}/{_WAITING}", f"{name}/{_TAKEN}")
        sock.connect(f"{name}/{_TAKEN}")
        set_send_buffer(sock, SEND_BUFFER)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise io_error(
            error.errno or 0, "no server waits under this name: it is gone, or has its client"
        ) from error
    except OSError as error:
        raise translated(error) from error
    return UnixSender(SendLine(sock))


def _new_folder() -> str:
    """A fresh folder that only this user can enter."""
    import tempfile  # slow to import, and a child that connects does without

    bases = [
        base
        for base in (tempfile.gettempdir(), "/tmp", "/var/tmp")
        if len(os.fsencode(base)) <= LONGEST_FOLDER
    ]
    failure = OSError(errno.ENAMETOOLONG, "no temporary folder has a short enough name")
    for base in bases:
        folder = os.path.join(base, f"ipc-{os.urandom(16).hex()}")
        try:
            os.mkdir(folder, 0o700)
        except OSError as error:
            failure = error
        else:
            return folder
    raise io_error(failure.errno or 0, f"no temporary folder can be used: {failure}") from failure


def _remove(folder: str) -> None:
    for name in (_WAITING, _TAKEN):
        try:
            os.unlink(f"{folder}/{name}")
        except OSError:
            pass  # the other name is the one
    try:
        os.rmdir(folder)
    except OSError:
        pass  # somebody else cleans temporary folders


def _peer_uid(sock: Socket) -> int:
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid
