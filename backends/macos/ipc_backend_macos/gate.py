"""Gates: marks among held messages that other processes must not overtake.

A sender that is sent while messages for its channel are held goes with a gate, a port of the
sending process. The port dies when every message held before the gate has left, or with its
process: a dead process holds nothing. The process that receives the sender holds its messages for
the channel until then.
"""

from __future__ import annotations

from typing import Protocol

from ipc_backend_macos import kernel, mach, notifications
from ipc_backend_macos.refcount import RefCounted


class Waiting(Protocol):
    """An object that holds messages until a gate of another process opens."""

    def gate_opened(self, name: int) -> None:
        """Go on, unless other gates are closed. Called under LOCK."""


own_gates: dict[int, Gate] = {}
"""Gates of this process that may be in a message, by the name of the port."""

closed_gates: dict[int, list[Waiting]] = {}
"""Objects that wait for a gate of another process, by the name of its port. Each has one reference
to the send right."""


class Gate(RefCounted):
    """A place in a queue of held messages. The port is alive until the queue is flushed to here.

    The object owns the receive right until then, and a send right until its last holder drops it.
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
            own_gates[self.name] = self
        except BaseException:
            if self.name:
                kernel.destroy_port(self.name)
            if made:
                kernel.release_send(self.name)
            raise

    def open(self) -> None:
        """Destroy the port: every message held before the gate has left."""
        if self.shut:
            self.shut = False
            kernel.destroy_port(self.name)
        self.drop(self)

    def unused(self) -> None:
        if own_gates.pop(self.name, None) is self:
            kernel.release_send(self.name)


def wait_for(name: int, waiting: Waiting) -> bool:
    """Have `waiting.gate_opened(name)` called when the port of this send right is dead. Takes the
    right over.

    False, and no call, for a gate that is open already, and for one of this process: a message
    behind it is behind everything that the gate stands for.
    """
    if name in own_gates or not notifications.request(name, _notified):
        kernel.release_send(name)
        return False
    closed_gates.setdefault(name, []).append(waiting)
    return True


def _notified(id: int, name: int) -> None:
    if id == mach.MACH_NOTIFY_DEAD_NAME:
        opened = closed_gates.pop(name, ())
        for _ in opened:
            kernel.release_send(name)
        for waiting in opened:
            waiting.gate_opened(name)


def forget_all() -> None:
    """In a forked child, forget the parent's gates: it has none of the rights."""
    own_gates.clear()
    closed_gates.clear()
