"""A name that admits one client: the address of a channel with a one-time ticket."""

from __future__ import annotations

import errno
import re
import secrets
from collections.abc import Sequence

from ipc_backend_tcp.broker import the_broker
from ipc_backend_tcp.endpoint import Connection
from ipc_backend_tcp.errors import translated
from ipc_backend_tcp.receiver import TcpReceiver
from ipc_backend_tcp.sender import TcpSender
from ipc_backend_tcp.wire import SECRET_SIZE, Address, Link, Role
from ipc_core.spi import Attachment, Buffer, ClosedError, IpcIOError

_NAME = re.compile(rf"(\d{{1,5}})-(\d{{1,18}})-([0-9a-f]{{{2 * SECRET_SIZE}}})", re.ASCII)


class TcpOneShotServer:
    """See OsIpcOneShotServer. The channel is there from the start and waits for its sender."""

    def __init__(self) -> None:
        ticket = secrets.token_bytes(SECRET_SIZE)
        address = the_broker().new_channel(ticket)
        self._receiver: TcpReceiver | None = TcpReceiver.connect(address)
        self.name = f"{address.port}-{address.number}-{ticket.hex()}"

    def accept(self, timeout: float | None) -> tuple[TcpReceiver, Buffer, Sequence[Attachment]]:
        receiver = self._receiver
        if receiver is None:
            raise ClosedError("this server is closed or has accepted its client")
        data, attachments = receiver.recv(timeout)
        self._receiver = None
        return receiver, data, attachments

    def close(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()


def connect(name: str) -> TcpSender:
    """See Backend.connect. The ticket buys the channel's token."""
    match = _NAME.fullmatch(name)
    port, number = (int(match[1]), int(match[2])) if match else (0, 0)
    if not match or not 0 < port < 65536:
        raise IpcIOError(errno.EINVAL, "not a name of the tcp backend")
    with translated():
        try:
            link = Link(Address(port, number, bytes.fromhex(match[3])), Role.CLIENT)
        except ConnectionError as error:
            raise IpcIOError(
                errno.ECONNREFUSED, "no server waits under this name: it is gone, or has its client"
            ) from error
    return TcpSender(Connection(Address(port, number, link.token), Role.SENDER, link))
