"""Many receivers in one persistent epoll."""

from __future__ import annotations

import itertools
import select
from collections.abc import Sequence

from ipc_backend_unix.closing import Closing
from ipc_backend_unix.descriptors import acquire
from ipc_backend_unix.errors import translated
from ipc_backend_unix.readiness import Flag, new_epoll, renew_epoll
from ipc_backend_unix.receiver import UnixReceiver
from ipc_core.spi import (
    Attachment,
    BriefLock,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    ForeignHandleError,
    IpcError,
    IpcIOError,
    OsIpcReceiver,
    Payload,
    SerDeError,
)

Result = tuple[int, Payload | SerDeError | IpcIOError | None, Sequence[Attachment]]

_LONGEST_WAIT = 2**31 // 1000


class UnixReceiverSet(Closing):
    """See OsIpcReceiverSet.

    One epoll holds the sockets of all members and the flag. A member that reads from an overflow
    log may have messages that its socket does not show: such members are in `_in_log`, and while
    there is one the flag is up, so that `select` returns at once and looks into it as well.

    A member's turn is a number that grows whenever it is served. Those with the lowest number are
    served first, so a busy channel does not starve the others.

    `_lock` is held by the thread that selects, also while it waits; `_changing` for the few steps
    in which any thread adds, removes or looks up members.
    """

    def __init__(self) -> None:
        self._epoll = new_epoll()
        self._flag = Flag()
        self._epoll.register(self._flag.fileno(), select.EPOLLIN)
        self._members: dict[int, UnixReceiver] = {}
        self._ids: dict[int, int] = {}
        self._in_log: set[int] = set()
        self._turns: dict[int, int] = {}
        self._turn = itertools.count()
        self._changing = BriefLock()
        super().__init__()

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add. The set keeps the handle itself."""
        if not isinstance(receiver, UnixReceiver):
            raise ForeignHandleError(f"the unix backend cannot select a {type(receiver).__name__}")
        with self._changing:
            self._check_open()
            fd = receiver.socket.fileno()
            if id in self._members or fd in self._ids or fd < 0:
                raise ValueError(f"receiver {id} cannot be added: closed, or already in the set")
            if receiver.in_use:
                raise IpcError("another thread is receiving on this receiver")
            try:
                self._epoll.register(fd, select.EPOLLIN)
            except OSError as error:
                raise translated(error) from error
            self._ids[fd] = id
            self._members[id] = receiver
            self._turns[id] = next(self._turn)
            self._note_log(id, receiver)
            if self._in_log:
                self._flag.set(True)

    def remove(self, id: int) -> UnixReceiver:
        """See OsIpcReceiverSet.remove."""
        with self._changing:
            self._check_open()
            receiver = self._members.pop(id)
            self._in_log.discard(id)
            self._turns.pop(id, None)
            fd = receiver.socket.fileno()
            self._ids.pop(fd, None)
            self._epoll.unregister(fd)
            return receiver

    def select(self, timeout: float | None, limit: int = 64) -> list[Result]:
        """See OsIpcReceiverSet.select."""
        if not acquire(self._lock, timeout):
            return []
        try:
            self._check_open()
            try:
                events = self._epoll.poll(
                    None if timeout is None else min(timeout, _LONGEST_WAIT), limit + 1
                )
            except (OSError, ValueError):  # a signal handler has closed it
                self._check_open()
                raise
            self._check_open()
            return self._serve(self._ready(events), limit)
        finally:
            self._leave()

    def _ready(self, events: list[tuple[int, int]]) -> list[int]:
        """Return the ids of the receivers to look into, each once."""
        with self._changing:
            flagged = self._flag.fileno()
            ready = {self._ids[fd] for fd, _ in events if fd in self._ids}
            if any(fd == flagged for fd, _ in events):
                self._flag.set(False)
                ready |= self._in_log
            return list(ready)

    def _serve(self, ready: list[int], limit: int) -> list[Result]:
        """Take one message from each, in the order of their turns."""
        results: list[Result] = []
        for id in sorted(ready, key=lambda id: self._turns.get(id, 0)):
            if len(results) == limit:
                break
            if id in self._turns:
                self._turns[id] = next(self._turn)
            result = self._receive(id)
            if result is not None:
                results.append(result)
        if self._in_log:
            self._flag.set(True)
        return results

    def _receive(self, id: int) -> Result | None:
        """Return the result of one member; None if it has no message, or has just been removed."""
        receiver = self._members.get(id)
        if receiver is None:
            return None
        try:
            data, attachments = receiver.recv(0)
        except Empty:
            return None
        except Disconnected:
            with self._changing:
                if self._members.get(id) is receiver:
                    self.remove(id).close()
            return id, None, ()
        except ClosedError:
            return None  # it was removed, and closed, just now
        except (DecodeError, IpcIOError) as error:
            return id, error, ()
        finally:
            self._note_log(id, receiver)
        return id, data, attachments

    def _note_log(self, id: int, receiver: UnixReceiver) -> None:
        """Keep `_in_log` up to date for a member that may have entered or left a log."""
        if receiver.has_log:
            with self._changing:
                if id in self._members:
                    self._in_log.add(id)
        elif id in self._in_log:
            self._in_log.discard(id)

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
        with self._changing:
            if not self._closed:
                self._flag.set(True)

    def fileno(self) -> int:
        """See OsIpcReceiverSet.fileno."""
        return self._epoll.fileno()

    def after_fork(self) -> None:
        """In a forked child, replace the epoll and flag still shared with the parent."""
        super().after_fork()
        if self._closed:
            return
        self._flag.close()  # first: its descriptor may be the only one left to make another
        renew_epoll(self._epoll)
        self._flag = Flag()
        self._ids = {member.socket.fileno(): id for id, member in self._members.items()}
        for fd in (self._flag.fileno(), *self._ids):
            self._epoll.register(fd, select.EPOLLIN)
        self._flag.set(bool(self._in_log))

    def _end_wait(self) -> None:
        self._flag.set(True)

    def _release_all(self) -> None:
        with self._changing:
            self._epoll.close()
            self._flag.close()
            while self._members:
                self._members.popitem()[1].close()
            self._in_log.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this receiver set is closed")
