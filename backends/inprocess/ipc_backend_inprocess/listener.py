"""Names at which one client connects, once. They live in this process only."""

from __future__ import annotations

import errno
import os
from weakref import WeakValueDictionary

from ipc_backend_inprocess.message_queue import MessageQueue
from ipc_backend_inprocess.receiver import InprocessReceiver
from ipc_backend_inprocess.sender import InprocessSender
from ipc_core.spi import Buffer, ClosedError, IpcError, IpcIOError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class InprocessOneShotServer:
    def __init__(self) -> None:
        self.name = "ipc-" + os.urandom(16).hex()
        queue = MessageQueue()
        self._receiver: InprocessReceiver | None = InprocessReceiver(queue)
        self._offered = [InprocessSender(queue)]
        self._turn = [None]
        _servers[self.name] = self

    def accept(self, timeout: float | None) -> tuple[InprocessReceiver, Buffer, tuple[Any, ...]]:
        """See OsIpcOneShotServer.accept. Raises IpcError while another thread accepts."""
        try:
            self._turn.pop()
        except IndexError:
            raise IpcError("another thread is accepting") from None
        try:
            receiver = self._receiver
            if receiver is None:
                raise ClosedError("this server is closed or has accepted its client")
            data, attachments = receiver.recv(timeout)
            self._receiver = None
        finally:
            self._turn.append(None)
        return receiver, data, attachments

    def offer(self) -> InprocessSender:
        """Return the client's sender. Raises IpcIOError if another client was first."""
        try:
            return self._offered.pop()
        except IndexError:
            raise IpcIOError(
                errno.ECONNREFUSED, "another client has connected to this server"
            ) from None

    def close(self) -> None:
        """See OsIpcOneShotServer.close."""
        _servers.pop(self.name, None)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()
        self._offered.clear()


_servers: WeakValueDictionary[str, InprocessOneShotServer] = WeakValueDictionary()


def connect(name: str) -> InprocessSender:
    """See Backend.connect."""
    server = _servers.get(name)
    if server is None:
        raise IpcIOError(errno.ENOENT, f"no server in this process is called {name[:80]!r}")
    return server.offer()
