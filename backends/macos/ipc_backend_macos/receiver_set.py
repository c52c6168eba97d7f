"""Many receivers, waited for together: a port set."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Union

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.buffers import done_with, next_message
from ipc_backend_macos.receiver import MacosReceiver, nudge, take
from ipc_backend_macos.remote_port import received_from, receiver_is_gone
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    Disconnected,
    ForeignHandleError,
    IpcIOError,
    OsIpcReceiver,
    SerDeError,
    mend_after_fork,
)

Result = tuple[int, Union[Buffer, SerDeError, IpcIOError, None], Sequence[Attachment]]

_REMEMBERED = 1024
"""Departures while threads select; none of them has a message in hand for as long as that."""


class MacosReceiverSet:
    """See OsIpcReceiverSet. The kernel serves the members in turn.

    One more member is an alarm, for `wake` and `close`. A thread that selects may have received a
    message whose member leaves before the thread has looked at it.
    """

    def __init__(self) -> None:
        self._set = self._alarm = self._users = 0
        self._closed = self._woken = False
        self._ready: int | None = None
        self._ids: dict[int, int] = {}
        self._members: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._departures = 0
        port_set = kernel.new_port_set()
        try:
            alarm = kernel.new_port()
            try:
                kernel.move_member(alarm, port_set)
            except BaseException:
                kernel.destroy_port(alarm)
                raise
        except BaseException:
            kernel.destroy_port_set(port_set)
            raise
        self._set, self._alarm = port_set, alarm
        mend_after_fork(self)

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add. The receiver's handle is closed; `remove` makes a new one."""
        receiver.kind  # noqa: B018  what the core puts in place of a closed handle raises
        if not isinstance(receiver, MacosReceiver):
            raise ForeignHandleError(f"a macos set cannot hold a {type(receiver).__name__}")
        with locking.LOCK:
            self._check_open()
            receiver.check_idle()
            if id in self._members:
                raise ValueError(f"the set has a receiver {id} already")
            name = receiver.name
            try:
                receiver.depart()
                self._left.pop(name, None)
                self._members[id] = name
                self._ids[name] = id
                kernel.move_member(name, self._set)
            except BaseException:
                self._members.pop(id, None)
                self._ids.pop(name, None)
                receiver.stay(name)
                raise
            receiver.departed()

    def remove(self, id: int) -> MacosReceiver:
        """See OsIpcReceiverSet.remove. A `select` that runs meanwhile may still return one
        message that it was about to take."""
        with locking.LOCK:
            self._check_open()
            name = self._members[id]
            kernel.move_member(name, mach.MACH_PORT_NULL)
            self._forget(id, name)
            self._departures += 1
            return MacosReceiver(name, arrived=False)

    def _forget(self, id: int, name: int) -> None:
        del self._ids[name], self._members[id]
        if self._users:
            self._left[name] = id
            if len(self._left) > _REMEMBERED:
                del self._left[next(iter(self._left))]

    def select(self, timeout: float | None, limit: int = 64) -> list[Result]:
        """See OsIpcReceiverSet.select."""
        deadline = None if timeout is None else time.monotonic() + timeout
        results: list[Result] = []
        entered = False
        try:
            with locking.LOCK:
                self._check_open()
                self._users += 1
                entered = True
            while len(results) < limit and not self._closed:
                departures = self._departures
                message = next_message(self._set, 0 if results else deadline)
                if message is not None:
                    if self._serve(message, departures, results):
                        break
                elif results or (deadline is not None and time.monotonic() >= deadline):
                    break
            if not results:
                self._check_open()
            return results
        finally:
            if entered:
                self._leave()

    def _serve(self, message: memoryview, departures: int, results: list[Result]) -> bool:
        """Add what a message means to the results; return whether it was an alarm. `departures`
        is how many there had been before it was received."""
        name = mach.HEADER.unpack_from(message)[3]
        if name == self._alarm:
            done_with(message)
            self._woken = False
            return True
        with locking.LOCK:
            id = self._ids.get(name, self._left.get(name, -1))
        received_from(name)
        try:
            received = take(name, message)
            if received is not None:
                results.append((id, *received))
        except Disconnected:
            self._end(id, name, departures, results)
        except (SerDeError, IpcIOError) as error:
            results.append((id, error, ()))
        return False

    def _end(self, id: int, name: int, departures: int, results: list[Result]) -> None:
        with locking.LOCK:
            if self._closed or self._departures != departures or name not in self._ids:
                return  # the name may mean another port by now; if it ended, it says so again
            self._forget(id, name)
            kernel.destroy_port(name)
            receiver_is_gone(name)
            self._departures += 1
            results.append((id, None, ()))

    def _leave(self) -> None:
        with locking.LOCK:
            self._users -= 1
            if not self._users:
                self._left.clear()
                if self._closed:
                    self._release()

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
        with locking.LOCK:
            if not self._woken and not self._closed:
                self._woken = True
                nudge(self._alarm, wire.NUDGE_ID)

    def fileno(self) -> int:
        """See OsIpcReceiverSet.fileno: a kqueue, made on first use."""
        with locking.LOCK:
            self._check_open()
            if self._ready is None:
                self._ready = kernel.watch(self._set)
            return self._ready

    def close(self) -> None:
        """See OsIpcReceiverSet.close. The members go with the last thread that selects, so that
        no name comes to mean something else under it."""
        with locking.LOCK:
            if self._closed:
                return
            self._closed = True
            if not self._users:
                self._release()
            for _ in range(self._users):
                nudge(self._alarm, wire.NUDGE_ID)

    def _release(self) -> None:
        while self._ids:
            name, _ = self._ids.popitem()
            kernel.destroy_port(name)
            receiver_is_gone(name)
        self._members.clear()
        port_set, self._set = self._set, 0
        alarm, self._alarm = self._alarm, 0
        ready, self._ready = self._ready, None
        if ready is not None:
            os.close(ready)
        if port_set:
            kernel.destroy_port(alarm)
            kernel.destroy_port_set(port_set)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this receiver set is closed")

    def after_fork(self) -> None:
        self._closed = True
        self._set = self._alarm = self._users = 0
        self._ready = None  # a kqueue is not inherited
        self._ids.clear()
        self._members.clear()
        self._left.clear()

    def __del__(self) -> None:
        if self._set:
            self.close()
