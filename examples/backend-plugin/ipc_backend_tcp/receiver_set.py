"""Many receivers, waited for together."""

from __future__ import annotations

import selectors
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Union

from ipc_backend_tcp.deadline import Deadline
from ipc_backend_tcp.errors import translated
from ipc_backend_tcp.receiver import TcpReceiver
from ipc_backend_tcp.wire import Socket
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    Disconnected,
    Empty,
    ForeignHandleError,
    IpcError,
    IpcIOError,
    OsIpcReceiver,
    SerDeError,
)

Result = tuple[int, Union[Buffer, SerDeError, IpcIOError, None], Sequence[Attachment]]

_ALARM = -1
_LONGEST_WAIT = 1e6


class TcpReceiverSet:
    """See OsIpcReceiverSet. One thread at a time selects, others wait for their turn.

    The members are ordered by when they were last served.
    """

    _closed = True

    def __init__(self) -> None:
        with translated():
            self._alarm, self._nudge = (Socket(fileno=end.detach()) for end in socket.socketpair())
        self._alarm.setblocking(False)
        self._nudge.setblocking(False)
        self._members: dict[int, TcpReceiver] = {}
        self._changing = threading.Lock()
        self._selecting = threading.Lock()
        self._woken = False
        self._closed = False

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        if not isinstance(receiver, TcpReceiver):
            raise ForeignHandleError(f"the tcp backend cannot select a {type(receiver).__name__}")
        receiver.check_open()
        if receiver.connection.lock.locked():
            raise IpcError("another thread is receiving on this receiver")
        with self._changing:
            self._check_open()
            self._members[id] = receiver
            self._rouse()

    def remove(self, id: int) -> TcpReceiver:
        with self._changing:
            self._check_open()
            return self._members.pop(id)

    def select(self, timeout: float | None, limit: int = 64) -> list[Result]:
        deadline = Deadline(timeout)
        try:
            with translated(), deadline.holding(self._selecting):
                while True:
                    left = deadline.left()
                    results = self._receive(self._ready(left), limit)
                    if results or left == 0 or self._was_woken():
                        return results
        except Empty:
            return []

    def _ready(self, timeout: float | None) -> list[int]:
        """Wait for members that have something to say; return them in order."""
        with selectors.DefaultSelector() as selector:
            with self._changing:
                self._check_open()
                selector.register(self._alarm, selectors.EVENT_READ, _ALARM)
                members = list(self._members.items())
                for id, receiver in members:
                    link = receiver.connection.link
                    if link is not None and not link.interrupted:
                        selector.register(link.socket, selectors.EVENT_READ, id)
                    else:
                        timeout = 0  # `recv` tells the reason
            waiting = {id for id, _ in members} - {key.data for key in selector.get_map().values()}
            events = selector.select(None if timeout is None else min(timeout, _LONGEST_WAIT))
        ready = waiting | {key.data for key, _ in events}
        with self._changing:
            self._check_open()
            if _ALARM in ready:
                self._alarm.recv(4096)
        return [id for id, _ in members if id in ready]

    def _receive(self, ready: list[int], limit: int) -> list[Result]:
        """Under the lock, so that a receiver that `remove` has given back is not in use here."""
        results: list[Result] = []
        for id in ready:
            if len(results) == limit:
                break
            with self._changing:
                receiver = self._members.pop(id, None)
                if receiver is None:
                    continue
                self._members[id] = receiver
                try:
                    results.append((id, *receiver.recv(0)))
                except Empty:
                    pass
                except Disconnected:
                    self._members.pop(id).close()
                    results.append((id, None, ()))
                except (SerDeError, IpcIOError) as error:
                    results.append((id, error, ()))
        return results

    def _was_woken(self) -> bool:
        with self._changing:
            woken, self._woken = self._woken, False
            return woken

    def wake(self) -> None:
        with self._changing:
            if not self._closed:
                self._woken = True
                self._rouse()

    def _rouse(self) -> None:
        """Make a running select look again."""
        try:
            self._nudge.send(b"\0")
        except BlockingIOError:
            pass  # it has been told often enough

    def fileno(self) -> None:
        return None

    def close(self) -> None:
        """At exit the locks may belong to threads that will never run again."""
        if self._closed:
            return
        if not sys.is_finalizing():
            with self._changing:
                self._closed = True
                self._rouse()
            with self._selecting:
                pass  # the thread that was selecting has left
        self._closed = True
        while self._members:
            self._members.popitem()[1].close()
        self._alarm.close()
        self._nudge.close()

    def __del__(self) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this receiver set is closed")
