"""A name at which one other process connects, once: how a parent meets its child."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from ipc_core import registry
from ipc_core.attachable import Gone
from ipc_core.channel import IpcReceiver, check_timeout
from ipc_core.codecs import default_codec
from ipc_core.errors import ClosedError, MovedError
from ipc_core.message import decode
from ipc_core.spi import Backend

T = TypeVar("T")


class IpcOneShotServer(Generic[T]):
    """Waits for the one client that calls `IpcSender.connect(name)`.

    Only processes of the same user can reach the name, and it cannot be guessed. It stops
    working as soon as one client has connected.
    """

    def __init__(self, backend: str | Backend | None = None) -> None:
        self._backend = registry.backend(backend)
        self._handle: Any = self._backend.one_shot_server()
        self._name = registry.server_name(self._backend, "once", self._handle.name)

    @classmethod
    def new(cls, *, backend: str | Backend | None = None) -> tuple[IpcOneShotServer[T], str]:
        """Return a server and its name, plain text to give to a child as an argument.

        Raises IpcIOError when the system refuses, NoBackendError when no backend can be used.
        """
        server = cls(backend)
        return server, server.name

    @property
    def name(self) -> str:
        """What the client passes to `IpcSender.connect`."""
        return self._name

    def accept(self, timeout: float | None = None) -> tuple[IpcReceiver[T], T]:
        """Wait for the client's first message; return the channel's receiver and that message.

        Raises Empty if it has not come within `timeout` seconds (accept may be called again),
        Disconnected if the client left without sending, DecodeError if its message does not
        decode. Once a client was accepted the server is used up: ClosedError.
        """
        receiver, data, attachments = self._handle.accept(check_timeout(timeout))
        self._handle = Gone(MovedError, "this server has accepted its one client")
        accepted = IpcReceiver[T](receiver, self._backend)
        try:
            return accepted, decode(default_codec, self._backend, data, attachments)
        except BaseException:
            accepted.close()
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
