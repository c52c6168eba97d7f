"""Handles enter a message by reference, all of them or none."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from ipc_backend_inprocess.message_queue import MessageQueue
from ipc_core.spi import Attachment, ForeignHandleError, IpcError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self


class Lendable:
    """A handle of this backend, the only kind that its messages carry."""

    __slots__ = ("__weakref__",)

    @abstractmethod
    def check(self) -> None:
        """Raise if the handle cannot be sent now: it is closed, or in use by another thread."""

    @abstractmethod
    def lend(self) -> Self:
        """Return the handle to put in the message. Raises the same as `check`."""

    @abstractmethod
    def reclaim(self, lent: Any) -> None:
        """Undo `lend`, which returned `lent`: the message was not sent."""

    @abstractmethod
    def abandon(self) -> MessageQueue | None:
        """Close the handle of an unread message; return the queue that then has to be dropped."""


class Loan:
    """The handles of one message. `lent` are those to put in it, in place of the attachments."""

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        """Raises ForeignHandleError, ClosedError, or IpcError for a receiver that is in use or
        attached twice; then every handle is as before."""
        self._handles = _checked(attachments)
        lent: list[Lendable] = []
        try:
            for handle in self._handles:
                lent.append(handle.lend())  # noqa: PERF401  undone up to where it failed
        except BaseException:
            self._reclaim(lent)
            raise
        self.lent = tuple(lent)

    def reclaim(self) -> None:
        """Give every handle back: the message was not sent."""
        self._reclaim(self.lent)

    def _reclaim(self, lent: Sequence[Lendable]) -> None:
        for handle, copy in zip(self._handles, lent, strict=False):
            handle.reclaim(copy)


def _checked(attachments: Sequence[Attachment]) -> list[Lendable]:
    receivers = set()
    handles: list[Lendable] = []
    for attachment in attachments:
        if not isinstance(attachment, Lendable):
            name = type(attachment).__name__
            raise ForeignHandleError(f"the inprocess backend cannot carry a {name}")
        attachment.check()
        if attachment.kind is Kind.RECEIVER:
            if id(attachment) in receivers:
                raise IpcError("a receiver can only be attached once")
            receivers.add(id(attachment))
        handles.append(attachment)
    return handles
