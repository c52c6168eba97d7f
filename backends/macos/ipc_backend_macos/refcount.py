"""The count of holders of a right that handles and messages of this process share."""

from __future__ import annotations

from abc import abstractmethod


class RefCounted:
    """A right that is given back when its last holder drops it. Every call needs LOCK.

    Holders are a set, so that holding or dropping twice counts once: after an exception from a
    signal handler, a call whose progress is unknown can be repeated.
    """

    def __init__(self) -> None:
        self._holders: set[int] = set()

    def hold(self, holder: object) -> None:
        self._holders.add(id(holder))

    def drop(self, holder: object) -> None:
        self._holders.discard(id(holder))
        if not self._holders:
            self.unused()

    @abstractmethod
    def unused(self) -> None:
        """Give the right back: no holder is left. Later calls do nothing."""
