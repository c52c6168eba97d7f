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


class Carried:
    """A handle of this backend, the only kind that its messages carry."""

    __slots__ = ("__weakref__",)

    @abstractmethod
    def check(self) -> None:
        """Raise what keeps the handle from being sent now."""

    @abstractmethod
    def depart(self) -> Self:
        """Return the handle to put in the message. Raises what `check` does."""

    @abstractmethod
    def come_back(self, traveller: Any) -> None:
        """Undo `depart`, which returned `traveller`: the message was not sent."""

    @abstractmethod
    def abandon(self) -> MessageQueue | None:
        """Close the handle of an unread message; return the queue that then has to be dropped."""


def depart(attachments: Sequence[Attachment]) -> tuple[Carried, ...]:
    """Return the handles to put in a message in place of `attachments`.

    Raises ForeignHandleError, ClosedError, or IpcError for a receiver that is in use or attached
    twice; then every handle is as before.
    """
    receivers = set()
    handles = []
    for attachment in attachments:
        if not isinstance(attachment, Carried):
            attachment.kind  # noqa: B018  what the core puts in place of a closed handle raises
            raise ForeignHandleError(
                f"the inprocess backend cannot carry a {type(attachment).__name__}"
            )
        attachment.check()
        if attachment.kind is Kind.RECEIVER:
            if id(attachment) in receivers:
                raise IpcError("a receiver can only be attached once")
            receivers.add(id(attachment))
        handles.append(attachment)
    travellers: list[Carried] = []
    try:
        for handle in handles:
            travellers.append(handle.depart())  # noqa: PERF401  undone up to where it failed
    except BaseException:
        come_back(handles, travellers)
        raise
    return tuple(travellers)


def come_back(handles: Sequence[Any], travellers: Sequence[Carried]) -> None:
    """Undo `depart`."""
    for handle, traveller in zip(handles, travellers, strict=False):
        handle.come_back(traveller)
