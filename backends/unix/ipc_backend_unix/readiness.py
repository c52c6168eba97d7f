"""One descriptor that polls readable while a receiver has messages, in its socket or its log."""

from __future__ import annotations

import os
import select

from ipc_backend_unix.descriptors import Descriptor
from ipc_backend_unix.errors import translated


class Flag:
    """A descriptor (eventfd) that polls readable while it is raised.

    It belongs to the process that made it: a forked child cannot raise its parent's.
    """

    def __init__(self) -> None:
        try:
            self._event = Descriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        except OSError as error:
            raise translated(error) from error
        self._pid = os.getpid()

    def fileno(self) -> int:
        return self._event.fd

    def set(self, raised: bool) -> None:
        """Raise or lower the flag. Does nothing after `close`, and in another process."""
        if self._event.fd < 0 or self._pid != os.getpid():
            return
        if raised:
            os.eventfd_write(self._event.fd, 1)
            return
        try:
            os.eventfd_read(self._event.fd)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._event.close()


class Readiness:
    """An epoll of a receiver's socket and of the flag that its log holds messages."""

    def __init__(self, socket_fd: int) -> None:
        self._epoll = new_epoll()
        self._watch(socket_fd)

    def _watch(self, socket_fd: int) -> None:
        self.in_log = Flag()
        self._epoll.register(socket_fd, select.EPOLLIN)
        self._epoll.register(self.in_log.fileno(), select.EPOLLIN)

    def renew(self, socket_fd: int) -> None:
        """In a forked child, replace the flag and epoll still shared with the parent."""
        self.in_log.close()
        renew_epoll(self._epoll)
        self._watch(socket_fd)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()
        self.in_log.close()


def new_epoll() -> select.epoll:
    """Make a close-on-exec epoll. Raises IpcIOError when the system refuses."""
    try:
        return select.epoll(flags=select.EPOLL_CLOEXEC)
    except OSError as error:
        raise translated(error) from error


def renew_epoll(epoll: select.epoll) -> None:
    """Put a new, empty epoll under the same descriptor."""
    fresh = new_epoll()
    os.dup2(fresh.fileno(), epoll.fileno(), inheritable=False)
    fresh.close()
