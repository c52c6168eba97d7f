"""A set of receivers, waited for together: a Mach port set."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Union

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.attachments import Makers
from ipc_backend_macos.buffers import next_message, recycle
from ipc_backend_macos.incoming import unwrap
from ipc_backend_macos.receiver import MacosReceiver
from ipc_backend_macos.remote_port import fill_up, receiver_destroyed
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
"""Former members that are remembered. No thread has a message in hand while so many are removed."""


class MacosReceiverSet:
    """See OsIpcReceiverSet. The kernel serves the members in turn. One more member is an alarm, for
    `wake` and `close`.

    A thread that selects receives without LOCK, and a received message names only its port. Until
    the thread has LOCK, others may remove the member, and its name may come to mean another port.

    - A message in hand is valid whatever happens: it is delivered under the id of its member, or of
      its former member. `_former_members` is kept while threads select, and dropped by the last.
    - The notification of an end in hand may be about a port that has left, so it counts only if no
      member was removed since before it was received (`_removals`). Otherwise it is ignored, and no
      end is lost: `unwrap` has requested another notification if the port is still here.
    """

    def __init__(self, makers: Makers) -> None:
        self._makers = makers
        self._set = self._alarm = self._users = 0
        self._closed = self._woken = False
        self._ready: int | None = None
        self._members: dict[int, int] = {}
        """Names by id."""
        self._ids: dict[int, int] = {}
        """Ids by name."""
        self._former_members: dict[int, int] = {}
        """Ids by name, the latest last."""
        self._removals = 0
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
        if not isinstance(receiver, MacosReceiver):
            raise ForeignHandleError(f"a macos set cannot hold a {type(receiver).__name__}")
        with locking.LOCK:
            self._check_open()
            receiver.check_lendable()
            if id in self._members:
                raise ValueError(f"the set has a receiver {id} already")
            name = receiver.name
            try:
                receiver.detach()
                self._former_members.pop(name, None)  # the name means this member from now on
                self._members[id] = name
                self._ids[name] = id
                kernel.move_member(name, self._set)
            except BaseException:
                self._members.pop(id, None)
                self._ids.pop(name, None)
                receiver.restore(name)
                raise
            receiver.moved()

    def remove(self, id: int) -> MacosReceiver:
        """See OsIpcReceiverSet.remove. A `select` that runs meanwhile may still return one
        message that it has in hand."""
        with locking.LOCK:
            self._check_open()
            name = self._members[id]
            kernel.move_member(name, mach.MACH_PORT_NULL)
            self._drop_member(id, name)
            return MacosReceiver(name, self._makers, arrived=False)

    def _drop_member(self, id: int, name: int) -> None:
        self._removals += 1
        del self._ids[name], self._members[id]
        if self._users:
            self._former_members[name] = id
            if len(self._former_members) > _REMEMBERED:
                del self._former_members[next(iter(self._former_members))]

    def _drop_former_members(self) -> None:
        """Forget former members when no thread can have a message of theirs in hand."""
        if not self._users:
            self._former_members.clear()

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
                removals = self._removals  # read before the receive, see `_end`
                message = next_message(self._set, 0 if results else deadline)
                if message is not None:
                    if self._serve(message, removals, results):
                        break
                elif results or (deadline is not None and time.monotonic() >= deadline):
                    break
            if not results:
                self._check_open()
            return results
        finally:
            if entered:
                self._leave()

    def _serve(self, message: memoryview, removals: int, results: list[Result]) -> bool:
        """Add the meaning of a message to the results; return whether it was an alarm. `removals`
        is the count from before it was received."""
        name = mach.HEADER.unpack_from(message)[3]
        if name == self._alarm:
            recycle(message)
            self._woken = False
            return True
        with locking.LOCK:
            id = self._ids.get(name, self._former_members.get(name, -1))
        fill_up(name)
        try:
            received = unwrap(name, message, self._makers)
            if received is not None:
                results.append((id, *received))
        except Disconnected:
            self._end(id, name, removals, results)
        except (SerDeError, IpcIOError) as error:
            results.append((id, error, ()))
        return False

    def _end(self, id: int, name: int, removals: int, results: list[Result]) -> None:
        """Remove a member whose channel has ended, unless the name may mean another port by now."""
        with locking.LOCK:
            if self._closed or self._removals != removals or name not in self._ids:
                return  # if the port is still here, `unwrap` has its end told again
            self._drop_member(id, name)
            kernel.destroy_port(name)
            receiver_destroyed(name)
            results.append((id, None, ()))

    def _leave(self) -> None:
        with locking.LOCK:
            self._users -= 1
            self._drop_former_members()
            if self._closed and not self._users:
                self._release()

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
        with locking.LOCK:
            if not self._woken and not self._closed:
                self._woken = True
                kernel.send_note(wire.nudge(self._alarm))

    def fileno(self) -> int:
        """See OsIpcReceiverSet.fileno: a kqueue, made on first use."""
        with locking.LOCK:
            self._check_open()
            if self._ready is None:
                self._ready = kernel.watch(self._set)
            return self._ready

    def close(self) -> None:
        """See OsIpcReceiverSet.close. The last thread that selects gives the members up, so
        that no thread waits on a name that has come to mean another port."""
        with locking.LOCK:
            if self._closed:
                return
            self._closed = True
            if not self._users:
                self._release()
            for _ in range(self._users):
                kernel.send_note(wire.nudge(self._alarm))

    def _release(self) -> None:
        while self._ids:
            name, _ = self._ids.popitem()
            kernel.destroy_port(name)
            receiver_destroyed(name)
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
        self._former_members.clear()

    def __del__(self) -> None:
        if self._set:
            self.close()
