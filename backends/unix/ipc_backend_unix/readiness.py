"""One descriptor that says whether a receiver has something, in its socket or in its log."""

from __future__ import annotations

import os
import select

from ipc_backend_unix.descriptors import Descriptor


class Flag:
    """A descriptor (eventfd) that polls readable while it is raised."""

    def __init__(self) -> None:
        self._event = Descriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))

    def fileno(self) -> int:
        return self._event.fd

    def set(self, raised: bool) -> None:
        if self._event.fd < 0:
            return  # whoever waited for it has gone
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
        self.in_log = Flag()
        self._epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._epoll.register(socket_fd, select.EPOLLIN)
        self._epoll.register(self.in_log.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()
        self.in_log.close()
