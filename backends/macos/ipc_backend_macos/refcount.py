"""One right, shared by handles and messages of this process."""

from __future__ import annotations

from abc import abstractmethod


class Shared:
    """It goes when nobody holds it any more. All of it happens under LOCK.

    Holding and dropping twice is like once, so an exception from a signal handler, after which
    nobody knows how far it came, does no harm.
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
        """Nobody holds it. May be called more than once."""
