"""A server for one client: a name at which one other process, such as a child, connects."""

from __future__ import annotations

import math
import time

import ipc_core._typing as t
from ipc_core.channels.receiver import IpcReceiver
from ipc_core.messages.attachable import Gone
from ipc_core.messages.format import format_for
from ipc_core.plugins import choice
from ipc_core.spi import Backend
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import ClosedError, Disconnected, Empty, MovedError

if t.TYPE_CHECKING:
    import subprocess
    from multiprocessing import process
else:
    subprocess, process = t.Later("subprocess"), t.Later("multiprocessing.process")

T = t.TypeVar("T")

_CHILD_CHECK_SECONDS = 0.05
"""The time between two looks at a child that is to connect."""


class IpcOneShotServer(t.Generic[T]):
    """A server for the one client that calls `IpcSender.connect(name)`.

    Only processes of the same user can reach the name, and it cannot be guessed. The name stops
    working as soon as one client has connected.
    """

    def __init__(
        self,
        type: object = None,
        *,
        codec: str | None = None,
        max_message: int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._format = format_for(type, codec, max_message)
        self._backend = choice.backend(backend)
        self._handle: t.Any = self._backend.one_shot_server()
        self._name = choice.server_name(self._backend, "once", self._handle.name)

    @t.overload
    @classmethod
    def new(
        cls,
        type: type[T],
        *,
        codec: str | None = None,
        max_message: int | None = None,
        backend: str | Backend | None = None,
    ) -> tuple[IpcOneShotServer[T], str]: ...
    @t.overload
    @classmethod
    def new(
        cls,
        type: object = None,
        *,
        codec: str | None = None,
        max_message: int | None = None,
        backend: str | Backend | None = None,
    ) -> tuple[IpcOneShotServer[T], str]: ...
    @classmethod
    def new(
        cls,
        type: object = None,
        *,
        codec: str | None = None,
        max_message: int | None = None,
        backend: str | Backend | None = None,
    ) -> tuple[IpcOneShotServer[T], str]:
        """Return a server and its name, plain text to give to a child as an argument.

        `type`, `codec` and `max_message` are as in `channel`, and the client connects with the
        same. Raises IpcIOError when the system refuses, NoBackendError when no backend can be
        used, and for the codec the same errors as `channel`.
        """
        server = cls(type, codec=codec, max_message=max_message, backend=backend)
        return server, server.name

    @property
    def name(self) -> str:
        """The text that the client passes to `IpcSender.connect`."""
        return self._name

    def accept(
        self,
        timeout: float | None = None,
        *,
        child: subprocess.Popen[t.Any] | process.BaseProcess | None = None,
    ) -> tuple[IpcReceiver[T], T]:
        """Wait for the client's first message; return the channel's receiver and that message.

        `child` is the process that is to connect, from subprocess or multiprocessing: the wait ends
        when it has ended.

        Raises Empty if the message has not come within `timeout` seconds (accept may be called
        again), Disconnected if the client left without sending, or the child ended without
        connecting, DecodeError if the message does not decode, MovedError once a client was
        accepted.
        """
        receiver, payload, attachments = self._first_message(check_timeout(timeout), child)
        self._handle = Gone(MovedError, "this server has accepted its one client")
        accepted = IpcReceiver[T](receiver, self._backend, self._format)
        try:
            return accepted, accepted._unpack(payload, attachments)
        except BaseException:
            accepted.close()
            raise

    def _first_message(self, timeout: float | None, child: t.Any) -> t.Any:
        """Return the receiver, the payload and the attachments. See `accept`."""
        if child is None:
            return self._handle.accept(timeout)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            ending = _ending(child)  # asked first: once it ended, all it sent is there
            left = 0 if ending else max(0, deadline - time.monotonic())
            try:
                return self._handle.accept(min(left, _CHILD_CHECK_SECONDS))
            except Empty:
                if ending:
                    raise Disconnected(f"the child {ending} before its first message") from None
                if left <= _CHILD_CHECK_SECONDS:
                    raise

    def close(self) -> None:
        """Give up the name. Closing twice does nothing."""
        if type(self._handle) is not Gone:
            self._handle.close()
            self._handle = Gone(ClosedError, "this server is closed")

    def __enter__(self) -> IpcOneShotServer[T]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<IpcOneShotServer {self._name}>"


def _ending(child: t.Any) -> str | None:
    """Describe the end of a child process, as the rest of a sentence about it.

    Returns None while it runs.
    """
    status = child.poll() if hasattr(child, "poll") else child.exitcode
    if status is None:
        return None
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
