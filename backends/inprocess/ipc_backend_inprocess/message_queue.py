"""What the two ends of a channel share."""

from __future__ import annotations

from collections import deque

from ipc_backend_inprocess.waiting import Listeners, notify_all
from ipc_core.spi import Buffer, Disconnected, mend_after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = tuple[Buffer, tuple[Any, ...]]


class MessageQueue:
    """The messages of one channel, who can add to them, and who waits for what."""

    __slots__ = ("__weakref__", "broken", "listeners", "messages", "senders", "watchers")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.senders: set[int] = set()
        """The id() of each open sender, also of those in messages."""
        self.broken = False
        """The receiver is gone."""
        self.listeners: Listeners = deque()
        """Whoever waits for messages or for the senders to go."""
        self.watchers: Listeners = deque()
        """Whoever waits for the receiver to go."""

        mend_after_fork(self)

    def after_fork(self) -> None:
        """A forked child has a copy that nobody shares: no message must vanish in it."""
        self.messages.clear()
        self.senders = set()
        self.broken = True
        self.listeners.clear()
        self.watchers.clear()

    def take(self) -> Message | None:
        """Return the next message, None if there is none yet.

        Raises Disconnected if there will be none.
        """
        connected = bool(self.senders)  # seen before the messages: the last sender sends first
        try:
            return self.messages.popleft()
        except IndexError:
            if connected:
                return None
        raise Disconnected("every sender is gone")

    def drop(self) -> None:
        """Break the channel and close what its messages carry."""
        doomed = [self]
        while doomed:  # a loop, because receivers in messages may be nested without limit
            queue = doomed.pop()
            queue.broken = True
            notify_all(queue.listeners)
            notify_all(queue.watchers)
            while queue.messages:
                try:
                    _, attachments = queue.messages.popleft()
                except IndexError:
                    break  # another thread took the last one
                for attachment in attachments:
                    inner = attachment.abandon()
                    if inner is not None:
                        doomed.append(inner)
