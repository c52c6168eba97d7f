"""The sending end of a channel."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar

from ipc_backend_tcp.attachments import Loan
from ipc_backend_tcp.deadline import Deadline
from ipc_backend_tcp.endpoint import Connection, Endpoint
from ipc_backend_tcp.errors import translated
from ipc_backend_tcp.wire import Frame, Link, Role, pack_attachments
from ipc_core.spi import Attachment, BrokenChannelError, Buffer, IpcIOError, Kind


class TcpSender(Endpoint):
    """See OsIpcSender.

    `send` waits for the broker, which queues without limit, and not for the receiver. A
    KeyboardInterrupt during that wait leaves open whether the message was sent.
    """

    kind: ClassVar[Kind] = Kind.SENDER
    role: ClassVar[Role] = Role.SENDER

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._watching: list[Link] = []

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """Raises IpcIOError(EMSGSIZE) for a message of 2 GiB or more."""
        buffers = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
        loan = Loan(attachments, self.connection.address)
        head = pack_attachments(loan.addresses)
        with loan, translated(), self.connection.lock:
            self.check_open()
            try:
                answer, reason = self.connection.connected().ask(Frame.SEND, head, *buffers)
            except ConnectionError as error:
                self.check_open()
                raise BrokenChannelError(errno.EPIPE, "no receiver is left") from error
            if answer is not Frame.ACCEPTED:
                code = int.from_bytes(reason, "big")
                raise IpcIOError(code, "the channel's broker cannot hold it")

    def clone(self) -> TcpSender:
        self.check_open()
        return TcpSender(self.connection.share())

    def wait_closed(self, timeout: float | None) -> bool:
        """Waits on a connection of its own, which the broker ends with the last receiver."""
        self.check_open()
        deadline = Deadline(timeout)
        with translated():
            try:
                link = Link(self.connection.address, Role.WATCHER)
            except ConnectionError:
                return True
            self._watching.append(link)
            try:
                self.check_open()
                is_gone = False
                while not is_gone and (left := deadline.left()) != 0:
                    is_gone = link.wait(left)
                self.check_open()
                return is_gone
            finally:
                self._watching.remove(link)
                link.hang_up()

    def close(self) -> None:
        if not self._closed:
            super().close()
            for link in list(self._watching):
                link.finish()
