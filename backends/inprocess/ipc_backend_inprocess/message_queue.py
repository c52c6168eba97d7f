"""The queue of a channel, shared by its two ends."""

from __future__ import annotations

from collections import deque

from ipc_backend_inprocess.waiting import Listeners, notify_all
from ipc_core.spi import Buffer, Disconnected, mend_after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = tuple[Buffer, tuple[Any, ...]]


class MessageQueue:
    """The messages of one channel, its open senders, and the listeners of either end."""

    __slots__ = ("__weakref__", "broken", "listeners", "messages", "senders", "watchers")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.senders: set[int] = set()
        """The id() of each open sender, also of those in messages."""
        self.broken = False
        """The receiver is gone."""
        self.listeners: Listeners = deque()
        """Called when a message arrives or the last sender goes."""
        self.watchers: Listeners = deque()
        """Called when the receiver goes."""

        mend_after_fork(self)

    def after_fork(self) -> None:
        """Break the copy in a forked child, which nobody shares: no message must vanish in it."""
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
        """Break the channel and close the attachments of its messages."""
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
