"""The receiving end of a channel: a receive right."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.attachments import Loan, Makers, Movable
from ipc_backend_macos.buffers import next_message
from ipc_backend_macos.incoming import unwrap
from ipc_backend_macos.remote_port import fill_up, receiver_destroyed, receivers_here
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    Empty,
    IpcError,
    Kind,
    NotSupportedError,
    mend_after_fork,
)


class MacosReceiver(Movable):
    """See OsIpcReceiver. The kernel gives each message to one of the threads that wait."""

    kind: ClassVar[Kind] = Kind.RECEIVER

    def __init__(self, name: int, makers: Makers, *, arrived: bool = True) -> None:
        """Take over a receive right, also on errors, and request the notification of its last
        sender's end.

        The request does not move with a right, so it is made anew for each one that has `arrived`.
        """
        self._name = 0
        self._makers = makers
        self._users = 0
        self._closed = False
        self._ready: int | None = None
        try:
            if arrived:
                kernel.notify(name, mach.MACH_NOTIFY_NO_SENDERS, name)
        except BaseException:
            kernel.destroy_port(name)
            raise
        self._name = name
        receivers_here.add(name)
        mend_after_fork(self)

    @property
    def name(self) -> int:
        """The name of the receive right; 0 in a handle that is closed."""
        return self._name

    def recv(self, timeout: float | None) -> tuple[Buffer, Sequence[Attachment]]:
        """See OsIpcReceiver.recv."""
        deadline = None if timeout is None else time.monotonic() + timeout
        entered = False
        try:
            with locking.LOCK:
                name = self._open_name()
                self._users += 1
                entered = True
            while True:
                message = next_message(name, deadline)
                if message is not None:
                    fill_up(name)
                    received = unwrap(name, message, self._makers)
                    if received is not None:
                        return received
                elif deadline is not None and time.monotonic() >= deadline and not fill_up(name):
                    raise Empty("no message has arrived")
                if self._closed:
                    raise ClosedError("this receiver was closed")
        finally:
            if entered:
                self._leave()

    def _open_name(self) -> int:
        if self._closed:
            raise ClosedError("this receiver is closed")
        return self._name

    def _leave(self) -> None:
        with locking.LOCK:
            self._users -= 1
            if self._closed and not self._users:
                self._release()

    def fileno(self) -> int:
        """See OsIpcReceiver.fileno: a kqueue, made on first use."""
        with locking.LOCK:
            name = self._open_name()
            if self._ready is None:
                self._ready = kernel.watch(name)
            return self._ready

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready."""
        raise NotSupportedError("wait for the descriptor that fileno() returns")

    def close(self) -> None:
        """See OsIpcReceiver.close. The last thread that receives gives the right up, so that no
        thread waits on a name that has come to mean another port."""
        with locking.LOCK:
            if self._closed:
                return
            self._closed = True
            if not self._users:
                self._release()
            for _ in range(self._users):
                kernel.send_note(wire.nudge(self._name))

    def _release(self) -> None:
        name, self._name = self._name, 0
        self.moved()
        if name:
            kernel.destroy_port(name)
            receiver_destroyed(name)

    def check_lendable(self) -> None:
        """See Lendable.check_lendable."""
        self._open_name()
        if self._users:
            raise IpcError("this receiver cannot move: another thread is receiving on it")

    def lend(self, loan: Loan) -> None:
        """See Lendable.lend."""
        loan.move(self, self._name)

    def detach(self) -> None:
        """See Movable.detach."""
        self._closed = True
        self._name = 0

    def moved(self) -> None:
        """See Movable.moved. The kqueue is closed."""
        ready, self._ready = self._ready, None
        if ready is not None:
            os.close(ready)

    def restore(self, name: int) -> None:
        """See Movable.restore."""
        receivers_here.add(name)
        self._name = name
        self._closed = False

    def restore_returned(self, name: int) -> None:
        """See Movable.restore_returned. The right's requests are lost, so they are made anew."""
        kernel.notify(name, mach.MACH_NOTIFY_NO_SENDERS, name)
        if self._ready is not None:
            fresh = kernel.watch(name)
            os.dup2(fresh, self._ready, inheritable=False)
            os.close(fresh)
        self.restore(name)

    def after_fork(self) -> None:
        self._closed = True
        self._name = self._users = 0
        self._ready = None  # a kqueue is not inherited

    def __del__(self) -> None:
        if self._name:
            self.close()
