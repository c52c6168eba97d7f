"""The receiving end of a channel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_tcp.deadline import Deadline
from ipc_backend_tcp.endpoint import Endpoint
from ipc_backend_tcp.errors import translated
from ipc_backend_tcp.sender import TcpSender
from ipc_backend_tcp.wire import Frame, Link, Role, unpack_message
from ipc_core.spi import Attachment, Buffer, Disconnected, Empty, IpcIOError, Kind


class TcpReceiver(Endpoint):
    """See OsIpcReceiver.

    A message stays with the broker until its attachments are connected here: an error or
    interrupt before that loses nothing, the next `recv` returns the same message.
    """

    kind: ClassVar[Kind] = Kind.RECEIVER
    role: ClassVar[Role] = Role.RECEIVER

    def recv(self, timeout: float | None) -> tuple[Buffer, Sequence[Attachment]]:
        deadline = Deadline(timeout)
        with translated(), deadline.holding(self.connection.lock):
            try:
                while True:
                    self.check_open()
                    link = self.connection.connected()
                    answer, body = link.ask(Frame.NEXT)
                    if answer is Frame.MESSAGE:
                        return self._take(link, body)
                    if answer is Frame.END:
                        raise Disconnected("every sender is gone")
                    left = deadline.left()
                    if left == 0:
                        raise Empty("nothing has arrived")
                    link.wait(left)
            except ConnectionError as error:
                self.check_open()
                raise Disconnected("the process that made the channel is gone") from error

    def _take(self, link: Link, body: bytearray) -> tuple[Buffer, Sequence[Attachment]]:
        addresses, data = unpack_message(body)
        attachments: list[Attachment] = []
        try:
            for role, address in addresses:
                attachments.append(_MAKERS[role].connect(address))
            link.ask(Frame.TAKE)
        except BaseException:
            for attachment in attachments:
                attachment.close()
            raise
        return data, attachments

    def fileno(self) -> None:
        """None: a descriptor would not stay the same, an interrupted connection is replaced."""

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """A thread waits for it, on a connection of its own."""
        self.check_open()
        taken_back = threading.Event()
        try:
            with translated():
                link = Link(self.connection.address, Role.LISTENER)
        except IpcIOError as error:
            if not isinstance(error.__cause__, ConnectionError):
                raise
            callback()  # `recv` tells the reason
            return taken_back.set

        def wait() -> None:
            link.wait(None)
            link.hang_up()
            if not taken_back.is_set():
                callback()

        def take_back() -> None:
            taken_back.set()
            link.finish()

        threading.Thread(target=wait, name="ipc-backend-tcp", daemon=True).start()
        return take_back


_MAKERS: dict[Role, type[TcpSender | TcpReceiver]] = {
    Role.SENDER: TcpSender,
    Role.RECEIVER: TcpReceiver,
}
