"""The ports that this process can send to, each an object shared by all senders for it.

Mach gives all send rights for one port the same name in a task, so the name finds the object. It
holds one reference to the right, however many handles there are, and the messages that the port's
queue had no room for.

How a message is posted, held back and retried: `post` tries at once if nothing is held. A message
that finds the queue full, or others before it, is held. From then on every message for the port
goes through `held`, so none overtakes another, until `flush` has emptied it.

The invariant is that while something is held, somebody is going to flush, and never by polling:

- If this process receives from the port, each receive makes room and moves one held message into
  the queue (`fill_up`).
- If another process receives, a notification tells that there is room. The kernel owes one only
  after a send with MACH_SEND_NOTIFY that failed while a request was in place, so `_flush_one` asks
  first and sends then. All of this runs in the thread of `notifications`, which no signal handler
  interrupts between the two; `_expect_flush` reminds it to make the first attempt.
- While a gate of another process is closed, its opening flushes (see `gate`).
- If the port dies, everything held for it is discarded (`mark_dead`).
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Union

from ipc_backend_macos import gate, kernel, locking, mach, notifications
from ipc_backend_macos.gate import Gate
from ipc_backend_macos.outgoing import OutgoingMessage
from ipc_backend_macos.refcount import RefCounted
from ipc_core.spi import BrokenChannelError, ClosedError, mend_after_fork

remote_ports: dict[int, RemotePort] = {}

receivers_here: set[int] = set()
"""Ports that a receiver or a set of this process receives from."""


class RemotePort(RefCounted):
    """A port to send to. Every call needs LOCK."""

    def __init__(self, name: int) -> None:
        super().__init__()
        self.name = name
        self.dead = name == mach.MACH_PORT_DEAD
        self.forked = False
        self.held: deque[Union[OutgoingMessage, Gate]] = deque()
        self._closed_gates: set[int] = set()
        self._requested = False
        """Whether the kernel has a request that no notification has used up."""
        self._flush_expected = False
        """Whether a reminder or a notification of room is on its way."""
        self._flushing = False
        self._watchers: list[Callable[[], object]] = []

    def unused(self) -> None:
        if not self._holders and not self.held and remote_ports.get(self.name) is self:
            del remote_ports[self.name]
            kernel.release_send(self.name)

    def post(self, message: OutgoingMessage, lenders: Sequence[RefCounted]) -> None:
        """Send a message, or hold it. `lenders` own the rights that it borrows.

        Raises BrokenChannelError, or IpcIOError when the system refuses; the message still belongs
        to the caller then.
        """
        if not self.held and not self._closed_gates and not self.dead:
            code = message.send()
            if code == mach.MACH_MSG_SUCCESS:
                return
            if code == mach.MACH_SEND_INVALID_DEST:
                self.mark_dead()
            elif code == mach.MACH_SEND_TIMED_OUT:
                # The kernel has returned the message, and it owns all its rights: no lenders.
                self._hold_back(message)
                return
            else:
                raise kernel.failed("mach_msg", code)
        elif not self.dead and self.name not in receivers_here and kernel.is_dead(self.name):
            self.mark_dead()
        if self.dead:
            raise BrokenChannelError(errno.EPIPE, "no receiver is left")
        message.hold_lenders(lenders)
        self._hold_back(message)

    def holds(self, message: OutgoingMessage) -> bool:
        """Whether the message is held here, the latest looked at first."""
        return any(item is message for item in reversed(self.held))

    def _hold_back(self, item: OutgoingMessage | Gate) -> None:
        self._expect_flush()  # first: if it fails, the item was not taken over
        self.held.append(item)

    def _expect_flush(self) -> None:
        """Ensure that held items will be flushed: by the receiver here, or by the thread."""
        if self.name in receivers_here or self._flush_expected:
            return
        notifications.remind(self.name, _notified)
        self._flush_expected = True

    def flush(self, limit: int | None = None) -> None:
        """Send held messages as far as gates and the port's queue allow, at most `limit`."""
        if self._flushing:
            return  # a signal handler got here in the middle of a flush, which goes on afterwards
        try:
            self._flushing = True
            while self.held and not self._closed_gates and limit != 0 and self._flush_one():
                limit = None if limit is None else limit - 1
        finally:
            self._flushing = False
        self.unused()

    def _flush_one(self) -> bool:
        """Send one held message, or open one gate; return whether it went."""
        head = self.held[0]
        if isinstance(head, Gate):
            self.held.popleft()
            head.open()
            return True
        if not head.accepted:  # else an exception came between the send and the popleft below
            # Request the notification before the send that makes the kernel owe it.
            options = 0 if self.name in receivers_here else mach.MACH_SEND_NOTIFY
            if options and not self._request_notification():
                return False
            code = head.send(options)
            if code == mach.MACH_SEND_INVALID_DEST:
                self.mark_dead()
            if code == mach.MACH_SEND_TIMED_OUT and options:
                self._flush_expected = True
            if code != mach.MACH_MSG_SUCCESS:
                return False
        self.held.popleft()
        head.drop_lenders()
        return True

    def gate(self) -> Gate | None:
        """Return the gate for a sender of this port that is sent now, so that nothing overtakes
        the held messages; None if nothing is held."""
        if not self.held and not self._closed_gates:
            return None
        last = self.held[-1] if self.held else None
        if isinstance(last, Gate):
            return last  # nothing was held since: one gate does for both
        fresh = None
        try:
            fresh = Gate()
            self._hold_back(fresh)
            return fresh
        except BaseException:
            if fresh is not None and fresh not in self.held:
                fresh.open()
            raise

    def wait_for_gate(self, name: int) -> None:
        """Hold everything until the port of this send right is dead; takes the right over."""
        if gate.wait_for(name, self):
            self._closed_gates.add(name)

    def gate_opened(self, name: int) -> None:
        """See gate.Waiting."""
        self._closed_gates.discard(name)
        self.flush()

    def watch(self, callback: Callable[[], object]) -> None:
        """Have the callback called when the port dies. A port that is dead already makes no call:
        look at `dead` afterwards."""
        self._watchers.append(callback)
        self._request_notification()

    def unwatch(self, callback: Callable[[], object]) -> None:
        if callback in self._watchers:
            self._watchers.remove(callback)

    def _request_notification(self) -> bool:
        """Request the notification of the port's death and of room in its queue, unless a request
        is in place. False if the port is dead."""
        if not self._requested and not self.dead:
            if not notifications.request(self.name, _notified):
                self.mark_dead()
                return False
            self._requested = True
        return not self.dead

    def notified(self, *, reminder: bool) -> None:
        """Flush, after a notification of room or a reminder."""
        self._flush_expected = False
        if not reminder:
            self._requested = False  # used up
        self.flush()
        if self._watchers:
            self._request_notification()

    def mark_dead(self) -> None:
        """Wake the watchers, and discard held messages: no process will receive them."""
        if self.dead:
            return
        self.dead = True
        for callback in self._watchers:
            callback()
        while self.held:
            item = self.held.popleft()
            if isinstance(item, Gate):
                item.open()
            elif item.accepted:
                item.drop_lenders()
            else:
                item.discard()
        self.unused()

    def check_dead(self) -> bool:
        """Ask the kernel whether the port is dead."""
        if self.forked:
            raise ClosedError("Mach ports are not passed to a forked process")
        if not self.dead and kernel.is_dead(self.name):
            self.mark_dead()
        return self.dead

    def after_fork(self) -> None:
        self.forked = self.dead = True
        self.held.clear()
        self._closed_gates.clear()
        self._watchers.clear()


def adopt(name: int, holder: object, gate: int = mach.MACH_PORT_NULL) -> RemotePort:
    """Return the object for a received send right, held for `holder`. Takes over the right and
    that for its gate. Needs LOCK."""
    found = remote_ports.get(name)
    if found is None:
        found = RemotePort(name)
        found.hold(holder)
        if name != mach.MACH_PORT_DEAD:
            remote_ports[name] = found
        if gate not in (mach.MACH_PORT_NULL, mach.MACH_PORT_DEAD) and not found.dead:
            found.wait_for_gate(gate)
            return found
    else:
        # It ignores the gate, so that no peer can hold up senders that were here before.
        found.hold(holder)
        kernel.release_send(name)
    kernel.release_send(gate)
    return found


def _notified(id: int, name: int) -> None:
    found = remote_ports.get(name)
    if found is not None:
        if id == mach.MACH_NOTIFY_DEAD_NAME:
            found.mark_dead()
        else:
            found.notified(reminder=id != mach.MACH_NOTIFY_SEND_POSSIBLE)


def fill_up(name: int) -> bool:
    """Move one held message into the queue of a port that this process has just received from.
    False if none was held, or none could move."""
    found = remote_ports.get(name)
    if found is None or not found.held:
        return False
    with locking.LOCK:
        before = len(found.held)
        found.flush(1)
        return len(found.held) < before


def receiver_leaves(name: int) -> None:
    """Note that the receive right is about to move: from now on the thread flushes."""
    receivers_here.discard(name)
    found = remote_ports.get(name)
    if found is not None and found.held:
        notifications.remind(name, _notified)


def receiver_destroyed(name: int) -> None:
    """Note that the receive right was given up in this process."""
    receivers_here.discard(name)
    found = remote_ports.get(name)
    if found is not None:
        found.mark_dead()


class _Forgetting:
    def after_fork(self) -> None:
        """Forget the parent's ports in a forked child: it has none of the rights, and their names
        may come to mean other ports."""
        for found in remote_ports.values():
            found.after_fork()
        remote_ports.clear()
        receivers_here.clear()
        gate.forget_all()


_forgetting = _Forgetting()
mend_after_fork(_forgetting)
