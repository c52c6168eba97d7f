"""Endpoints in a message: their addresses, as long as they stay open."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipc_backend_tcp.endpoint import Endpoint
from ipc_backend_tcp.wire import Address, Role
from ipc_core.spi import Attachment, ForeignHandleError, IpcIOError

if TYPE_CHECKING:
    from typing_extensions import Self


class Loan:
    """The endpoints of one message while it is sent over the channel at `over`.

    A receiver that another thread closes meanwhile is closed afterwards. Once the message was
    accepted, which is when nothing was raised, its receivers are closed here.
    """

    def __init__(self, attachments: Sequence[Attachment], over: Address) -> None:
        """Raises ForeignHandleError, ClosedError, or IpcIOError for a receiver twice."""
        self._endpoints: list[Endpoint] = []
        refused = {over}
        for attachment in attachments:
            if not isinstance(attachment, Endpoint):
                name = type(attachment).__name__
                raise ForeignHandleError(f"the tcp backend cannot carry a {name}")
            attachment.check_open()
            address = attachment.connection.address
            if attachment.role is Role.RECEIVER:
                if address in refused:
                    raise IpcIOError(errno.EINVAL, "a receiver twice, or over its own channel")
                refused.add(address)
            self._endpoints.append(attachment)
        self.addresses = [(each.role, each.connection.address) for each in self._endpoints]
        self._receivers = [each for each in self._endpoints if each.role is Role.RECEIVER]

    def __enter__(self) -> Self:
        self._shared = [each.connection.share() for each in self._receivers]
        try:
            for each in self._endpoints:
                each.check_open()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._give_back()
        if kind is None:
            for each in self._receivers:
                each.close()

    def _give_back(self) -> None:
        for connection in self._shared:
            connection.close()
