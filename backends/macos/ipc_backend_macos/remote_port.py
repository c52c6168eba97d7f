"""What this process can send to: one object for each port, shared by all senders for it.

Mach gives all send rights for one port the same name in a task, so the name finds the object. It
holds one reference to the right, however many handles there are, and the messages that the port's
queue had no room for. A held queue is flushed by whoever receives from the port, in this process;
where that is another one, by the attendant, when the kernel says that the port has room (a
send-possible notification). The attendant's thread is not interrupted by signal handlers, so it
always gets to ask for the next notification.

Other processes must not overtake what is held here: a sender that is sent meanwhile goes with a
gate, a port that dies when all that was held then has left. Who receives such a sender holds what
it sends on it until the gate is open. A dead process has no gates.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Union

from ipc_backend_macos import kernel, locking, mach, notifications
from ipc_backend_macos.outgoing import Parcel
from ipc_backend_macos.refcount import Shared
from ipc_core.spi import BrokenChannelError, ClosedError

_destinations: dict[int, Destination] = {}
_closed_gates: dict[int, list[Destination]] = {}
"""Gates of other processes, by name, and what waits for them."""

_own_gates: dict[int, Gate] = {}

receivers_here: set[int] = set()
"""Ports that a receiver or a set of this process receives from."""


class Gate(Shared):
    """A place in a held queue. The port is alive until the queue is flushed to here.

    The object owns the receive right until then, and a send right until it is dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name = 0
        self.shut = True
        made = False
        try:
            self.name = kernel.new_port()
            kernel.make_send(self.name)
            made = True
            self.hold(self)
            _own_gates[self.name] = self
        except BaseException:
            if self.name:
                kernel.destroy_port(self.name)
            if made:
                kernel.release_send(self.name)
            raise

    def open(self) -> None:
        if self.shut:
            self.shut = False
            kernel.destroy_port(self.name)
        self.drop(self)

    def unused(self) -> None:
        if _own_gates.pop(self.name, None) is self:
            kernel.release_send(self.name)


class Destination(Shared):
    """A port to send to."""

    def __init__(self, name: int) -> None:
        super().__init__()
        self.name = name
        self.dead = name == mach.MACH_PORT_DEAD
        self.forked = False
        self.held: deque[Union[Parcel, Gate]] = deque()
        self._gates: set[int] = set()
        self._notified = self._expected = self._flushing = False
        self._watchers: list[Callable[[], object]] = []

    def unused(self) -> None:
        if not self._holders and not self.held and _destinations.get(self.name) is self:
            del _destinations[self.name]
            kernel.release_send(self.name)

    def post(self, parcel: Parcel, lenders: Sequence[Shared]) -> None:
        """Send a message, or hold it. `lenders` own the rights that it borrows.

        Raises BrokenChannelError, or IpcIOError when the system refuses; the parcel is not taken
        over then.
        """
        if not self.held and not self._gates and not self.dead:
            code = parcel.send()
            if code == mach.MACH_MSG_SUCCESS:
                return
            if code == mach.MACH_SEND_INVALID_DEST:
                self.has_died()
            elif code == mach.MACH_SEND_TIMED_OUT:
                self._have_flushed()
                self.held.append(parcel)
                return
            else:
                raise kernel.failed("mach_msg", code)
        elif not self.dead and self.name not in receivers_here and kernel.is_dead(self.name):
            self.has_died()
        if self.dead:
            raise BrokenChannelError(errno.EPIPE, "no receiver is left")
        parcel.keep(lenders)
        self._have_flushed()
        self.held.append(parcel)

    def holds(self, parcel: Parcel) -> bool:
        """Whether it took this one over; it looks at the latest first."""
        return any(item is parcel for item in reversed(self.held))

    def _have_flushed(self) -> None:
        """See to it that somebody flushes what is about to be held."""
        if self.name in receivers_here or self._expected:
            return
        notifications.remind(self.name)
        self._expected = True

    def flush(self, limit: int | None = None) -> None:
        """Send what is held, as far as gates and the port's queue allow, at most `limit`
        messages. A signal handler that gets here in the middle leaves it to the call it is in."""
        if self._flushing:
            return
        try:
            self._flushing = True
            while self.held and not self._gates and limit != 0 and self._flush_one():
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
        if not head.accepted:  # else an exception came just after it was sent
            options = 0 if self.name in receivers_here else mach.MACH_SEND_NOTIFY
            if options and not self._watch():
                return False
            code = head.send(options)
            if code == mach.MACH_SEND_INVALID_DEST:
                self.has_died()
            if code == mach.MACH_SEND_TIMED_OUT and options:
                self._expected = True
            if code != mach.MACH_MSG_SUCCESS:
                return False  # a notification comes when there is room
        self.held.popleft()
        head.settle()
        return True

    def gate(self) -> Gate | None:
        """What a sender for this port has to go with, so that nothing overtakes what is held."""
        if not self.held and not self._gates:
            return None
        last = self.held[-1] if self.held else None
        if isinstance(last, Gate):
            return last
        gate = None
        try:
            gate = Gate()
            self._have_flushed()
            self.held.append(gate)
            return gate
        except BaseException:
            if gate is not None and gate not in self.held:
                gate.open()
            raise

    def wait_for_gate(self, name: int) -> None:
        """Hold everything until the port of this send right is dead; takes the right over."""
        if name in _own_gates or not kernel.notify(
            name, mach.MACH_NOTIFY_SEND_POSSIBLE, notifications.attend()
        ):
            kernel.release_send(name)
            return
        self._gates.add(name)
        _closed_gates.setdefault(name, []).append(self)

    def gate_is_open(self, name: int) -> None:
        self._gates.discard(name)
        self.flush()

    def watch(self, callback: Callable[[], object]) -> None:
        """Have this called when the port dies. Look afterwards whether it has."""
        self._watchers.append(callback)
        self._watch()

    def unwatch(self, callback: Callable[[], object]) -> None:
        if callback in self._watchers:
            self._watchers.remove(callback)

    def _watch(self) -> bool:
        """Ask to be told of the port's death, and of room in its queue after a send that failed
        for lack of it; both are one request. False if the port is dead."""
        if not self._notified and not self.dead:
            if not kernel.notify(self.name, mach.MACH_NOTIFY_SEND_POSSIBLE, notifications.attend()):
                self.has_died()
                return False
            self._notified = True
        return not self.dead

    def attended(self, *, notified: bool) -> None:
        """There is room, or the port is dead, as a notification says; or we were reminded."""
        self._expected = False
        if notified:
            self._notified = False
        self.flush()
        if self._watchers:
            self._watch()

    def has_died(self) -> None:
        """Nobody will receive what is held."""
        if self.dead:
            return
        self.dead = True
        self.wake_watchers()
        while self.held:
            item = self.held.popleft()
            if isinstance(item, Gate):
                item.open()
            elif item.accepted:
                item.settle()
            else:
                item.discard()
        self.unused()

    def wake_watchers(self) -> None:
        for callback in self._watchers:
            callback()

    def check_dead(self) -> bool:
        """Whether the port is dead, as the kernel knows it."""
        if self.forked:
            raise ClosedError("Mach ports are not passed to a forked process")
        if not self.dead and kernel.is_dead(self.name):
            self.has_died()
        return self.dead

    def after_fork(self) -> None:
        self.forked = self.dead = True
        self.held.clear()
        self._gates.clear()
        self._watchers.clear()


def adopt(name: int, holder: object, gate: int = mach.MACH_PORT_NULL) -> Destination:
    """Return the object for a received send right, held for `holder`. Takes over the right and
    that for its gate. Under LOCK."""
    found = _destinations.get(name)
    if found is None:
        found = Destination(name)
        found.hold(holder)
        if name != mach.MACH_PORT_DEAD:
            _destinations[name] = found
        if gate not in (mach.MACH_PORT_NULL, mach.MACH_PORT_DEAD) and not found.dead:
            found.wait_for_gate(gate)
            return found
    else:
        # It keeps its order, gate or not: a peer cannot hold up what was here before.
        found.hold(holder)
        kernel.release_send(name)
    kernel.release_send(gate)
    return found


def received_from(name: int) -> bool:
    """The queue of a port has room for one more message. Returns whether one was held."""
    found = _destinations.get(name)
    if found is None or not found.held:
        return False
    with locking.LOCK:
        before = len(found.held)
        found.flush(1)
        return len(found.held) < before


def receives_elsewhere(name: int) -> None:
    """The receive right is about to leave: from now on the kernel says when there is room."""
    receivers_here.discard(name)
    found = _destinations.get(name)
    if found is not None and found.held:
        notifications.remind(name)


def receiver_is_gone(name: int) -> None:
    """The receive right was given up here; nobody will receive what is held."""
    receivers_here.discard(name)
    found = _destinations.get(name)
    if found is not None:
        found.has_died()


def notification(id: int, name: int) -> None:
    """Act on what the kernel says about a name."""
    with locking.LOCK:
        if id == mach.MACH_NOTIFY_DEAD_NAME:
            waiting = _closed_gates.pop(name, ())
            found = _destinations.get(name)
            if found is not None:
                found.has_died()
            for _ in waiting:
                kernel.release_send(name)
            kernel.release_send(name)  # the reference that came with the notification
            for destination in waiting:
                destination.gate_is_open(name)
        elif name in _destinations:
            _destinations[name].attended(notified=id == mach.MACH_NOTIFY_SEND_POSSIBLE)


def held_messages(*, for_others: bool = False) -> int:
    """How many messages wait in this process for room in a queue or for a gate; `for_others`
    leaves out those that only this process could receive."""
    with locking.LOCK:
        return sum(
            isinstance(item, Parcel)
            for found in _destinations.values()
            if not (for_others and found.name in receivers_here)
            for item in found.held
        )


def forget_all() -> None:
    """In a forked child: it has none of the parent's rights, and their names may come to mean
    something else."""
    for found in _destinations.values():
        found.after_fork()
    _destinations.clear()
    _closed_gates.clear()
    _own_gates.clear()
    receivers_here.clear()
