"""The one-shot server: a pipe under an unguessable name, which one client can open."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from ipc_backend_windows import pipes, win32
from ipc_backend_windows.attachments import Makers
from ipc_backend_windows.closing import Closing
from ipc_backend_windows.errors import translated
from ipc_backend_windows.kernel_handles import new_event
from ipc_backend_windows.operation import Operation
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.receiver import WindowsReceiver
from ipc_backend_windows.sender import WindowsSender
from ipc_backend_windows.waiting import Deadline, wait
from ipc_backend_windows.writer import ChannelWriter
from ipc_core.spi import Attachment, Buffer, ClosedError, Empty, IpcError, IpcIOError

_NAME = re.compile("[0-9a-f]{32}", re.ASCII)

_CAME = (win32.ERROR_PIPE_CONNECTED, win32.ERROR_NO_DATA)
"""Errors of a wait for a client that has connected before, and may be gone again."""


class WindowsOneShotServer(Closing):
    """See OsIpcOneShotServer.

    The pipe's security descriptor admits processes of this user only. It has room for one client.
    """

    def __init__(self, makers: Makers) -> None:
        identity = pipes.new_identity()
        try:
            queue = QueueMemory.create(identity)
            pipe = pipes.serve(identity)
            self._event = new_event()
        except OSError as error:
            raise translated(error) from error
        self.name = identity.hex()
        self._connecting = Operation(pipe)
        self._connected = False
        self._receiver = WindowsReceiver(pipe, queue, makers)
        self._accepted = False
        super().__init__()

    def accept(self, timeout: float | None) -> tuple[WindowsReceiver, Buffer, Sequence[Attachment]]:
        """See OsIpcOneShotServer.accept."""
        deadline = Deadline(timeout)
        if not self._enter(timeout):
            raise Empty("no client has connected")
        try:
            self._wait_for_client(deadline)
            try:
                data, attachments = self._receiver.recv(deadline.left())
            except ClosedError:
                raise _closed() from None
            self._accepted = self._closed = True
            return self._receiver, data, attachments
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            self._leave()

    def _wait_for_client(self, deadline: Deadline) -> None:
        """Wait until the client has connected; the wait of a call that timed out goes on.

        Raises Empty, ClosedError, IpcIOError, OSError.
        """
        while not self._connected:
            if self._closed:
                raise _closed()
            if self._connecting.active:
                if self._connecting.finished():
                    error = self._connecting.result()
                    self._connected = error == 0 or error in _CAME
                    continue
                if deadline.passed():
                    raise Empty("no client has connected")
                wait([self._event], deadline)
                continue
            error = self._connecting.connect(self._event)
            if error and error not in _CAME:
                raise IpcIOError(errno.EIO, f"waiting for a client failed (error {error})")
            self._connected = error != 0
        if self._closed:
            raise _closed()

    def _end_wait(self) -> None:
        self._connecting.interrupt()
        self._receiver.close()

    def _release_all(self) -> None:
        self._connecting.close()
        self._event.close()
        if not self._accepted:
            self._receiver.close()


def connect(name: str) -> WindowsSender:
    """See Backend.connect."""
    if not _NAME.fullmatch(name):
        raise IpcIOError(errno.EINVAL, "not a name of the windows backend")
    identity = bytes.fromhex(name)
    try:
        pipe = pipes.connect(identity)
        return WindowsSender(ChannelWriter(pipe, QueueMemory.open(identity), identity))
    except OSError as error:
        if getattr(error, "winerror", 0) in (win32.ERROR_FILE_NOT_FOUND, win32.ERROR_PIPE_BUSY):
            raise IpcIOError(
                errno.ECONNREFUSED, "no server waits under this name: it is gone, or has its client"
            ) from error
        raise translated(error) from error


def _closed() -> ClosedError:
    return ClosedError("this server is closed, or has accepted its one client")
