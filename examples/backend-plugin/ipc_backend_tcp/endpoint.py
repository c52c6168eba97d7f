"""An end of a channel: its address, and a connection to the broker that holds the queue."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from ipc_backend_tcp.errors import translated
from ipc_backend_tcp.wire import Address, Link, Role
from ipc_core.spi import ClosedError

if TYPE_CHECKING:
    from typing_extensions import Self


class Connection:
    """A connection to a channel's broker, for one thread at a time. Clones of a sender share it."""

    def __init__(self, address: Address, role: Role, link: Link | None) -> None:
        self.address = address
        self.role = role
        self.link = link
        self.lock = threading.Lock()
        self._users = [self]  # a list, as its append and pop are atomic

    def share(self) -> Connection:
        self._users.append(self)
        return self

    def connected(self) -> Link:
        """Return the connection, or a new one in place of one that an exception left half-way.

        The new one is made first, so that the broker never sees this end gone.
        """
        old = self.link
        if old is not None and not old.interrupted:
            return old
        self.link = new = Link(self.address, self.role)
        if old is not None:
            old.hang_up()
        if not self._users:
            raise ClosedError("closed by another thread")
        return new

    def close(self) -> None:
        """Leave. The last one hangs up, and the broker knows of it on return.

        A thread that waits in `recv` is woken by the broker, which hangs up too. At exit the lock
        may belong to a thread that will never run again.
        """
        self._users.pop()
        if self._users or self.link is None:
            return
        if not sys.is_finalizing():
            self.link.finish()
            with self.lock:
                pass  # the thread that was using the connection has left
        self.link.hang_up()


class Endpoint:
    """Common base of both ends."""

    role: ClassVar[Role]
    _closed = True

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._closed = False

    @classmethod
    def connect(cls, address: Address) -> Self:
        """Return an end of a channel. A channel that is gone shows when the end is used."""
        link = None
        with translated(), suppress(ConnectionError):
            link = Link(address, cls.role)
        return cls(Connection(address, cls.role, link))

    def check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"this {self.role.name.lower()} is closed")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.connection.close()

    def __del__(self) -> None:
        self.close()
