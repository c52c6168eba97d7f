"""The receiving end: a receive right."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_macos import incoming, kernel, locking, mach, wire
from ipc_backend_macos.buffers import done_with, next_message
from ipc_backend_macos.remote_port import received_from, receiver_is_gone, receivers_here
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    Disconnected,
    Empty,
    IpcError,
    Kind,
    NotSupportedError,
    mend_after_fork,
)


class MacosReceiver:
    """See OsIpcReceiver. The kernel gives each message to one of the threads that wait."""

    kind: ClassVar[Kind] = Kind.RECEIVER

    def __init__(self, name: int, *, arrived: bool = True) -> None:
        """Take over a receive right, and ask to be told when its last sender goes.

        That request does not move with a right, so it is made anew whenever one has arrived.
        """
        self._name = 0
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

    def recv(self, timeout: float | None) -> tuple[Buffer, Sequence[Attachment]]:
        """See OsIpcReceiver.recv."""
        deadline = None if timeout is None else time.monotonic() + timeout
        entered = False
        try:
            with locking.LOCK:
                name = self._open()
                self._users += 1
                entered = True
            while True:
                message = next_message(name, deadline)
                if message is not None:
                    received_from(name)
                    received = take(name, message)
                    if received is not None:
                        return received
                elif (
                    deadline is not None
                    and time.monotonic() >= deadline
                    and not received_from(name)
                ):
                    raise Empty("no message has arrived")
                if self._closed:
                    raise ClosedError("this receiver was closed")
        finally:
            if entered:
                self._leave()

    def _open(self) -> int:
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
            name = self._open()
            if self._ready is None:
                self._ready = kernel.watch(name)
            return self._ready

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready."""
        raise NotSupportedError("wait for the descriptor that fileno() returns")

    def close(self) -> None:
        """See OsIpcReceiver.close. The right goes with the last thread that receives, so that its
        name does not come to mean something else under it."""
        with locking.LOCK:
            if self._closed:
                return
            self._closed = True
            if not self._users:
                self._release()
            for _ in range(self._users):
                nudge(self._name, wire.NUDGE_ID)

    def _release(self) -> None:
        name, self._name = self._name, 0
        self._close_ready()
        if name:
            kernel.destroy_port(name)
            receiver_is_gone(name)

    def _close_ready(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            os.close(ready)

    def check_idle(self) -> None:
        """Raise what keeps this receiver from moving: ClosedError, or IpcError while a thread
        receives. Under LOCK."""
        self._open()
        if self._users:
            raise IpcError("this receiver cannot move: another thread is receiving on it")

    @property
    def name(self) -> int:
        return self._name

    def depart(self) -> None:
        """Close this handle without giving the right up. Under LOCK."""
        self._closed = True
        self._name = 0

    def departed(self) -> None:
        """The right has gone where it was to go."""
        self._close_ready()

    def stay(self, name: int) -> None:
        """Undo `depart`. Under LOCK."""
        receivers_here.add(name)
        self._name = name
        self._closed = False

    def come_back(self, name: int) -> None:
        """Undo `depart` after the kernel had the right; it may have a new name. Under LOCK."""
        kernel.notify(name, mach.MACH_NOTIFY_NO_SENDERS, name)
        if self._ready is not None:
            fresh = kernel.watch(name)
            os.dup2(fresh, self._ready, inheritable=False)
            os.close(fresh)
        self.stay(name)

    def after_fork(self) -> None:
        self._closed = True
        self._name = self._users = 0
        self._ready = None  # a kqueue is not inherited

    def __del__(self) -> None:
        if self._name:
            self.close()


def take(name: int, message: memoryview) -> tuple[Buffer, Sequence[Attachment]] | None:
    """Claim what a port has received, with its trailer; None for a note that has done its work.

    Raises Disconnected for the note of the channel's end, and asks for another, so that the end
    stays to be found; DecodeError for what is not a message.
    """
    bits, size, _, _, _, id = mach.HEADER.unpack_from(message)
    if wire.is_note(bits):
        done_with(message)
        if id == mach.MACH_NOTIFY_NO_SENDERS:
            _ask_for_end(name)
            raise Disconnected("every sender is gone")
        return None
    return incoming.claim(message, size)


def _ask_for_end(name: int) -> None:
    """Have the kernel tell the end again. It does so at once, and only if it is true of the port
    that has the name now: a receiver that left a set may be gone, or in another process."""
    with locking.LOCK:
        if name in receivers_here:
            kernel.notify(name, mach.MACH_NOTIFY_NO_SENDERS, name)


def nudge(name: int, id: int) -> None:
    """Put a note into the queue of a port that we receive on."""
    note = wire.to_myself(name, id)
    codes: list[int] = []
    kernel.send(mach.buffer_of(note), len(note), 0, codes)
    if codes[-1] != mach.MACH_MSG_SUCCESS:
        raise kernel.failed("mach_msg", codes[-1])
