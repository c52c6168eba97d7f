"""Endpoints and regions in a message: lent by its sender, made again by its receiver.

Nothing here knows the classes of handles. They derive from `Lendable`, and `backend.MAKERS` says
how to make each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from ipc_backend_macos import wire
from ipc_backend_macos.gate import Gate
from ipc_backend_macos.mach import MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MOVE_RECEIVE
from ipc_backend_macos.refcount import RefCounted
from ipc_backend_macos.remote_port import receiver_leaves
from ipc_core.spi import Attachment, ForeignHandleError, IpcError, Kind


class Lendable:
    """A handle of this backend, which a message can carry. Every call needs LOCK."""

    kind: ClassVar[Kind]

    def check_lendable(self) -> None:
        """Raise ClosedError after `close`, IpcError for a receiver that is in use."""
        raise NotImplementedError

    def lend(self, loan: Loan) -> None:
        """Add the handle's record and rights to a loan."""
        raise NotImplementedError


class Movable(Lendable):
    """A receiver: its right leaves this process with the message."""

    def detach(self) -> None:
        """Close the handle, and keep its right for the message."""
        raise NotImplementedError

    def moved(self) -> None:
        """Release the rest of the handle: the right has left."""
        raise NotImplementedError

    def restore(self, name: int) -> None:
        """Open the handle again: the right did not leave."""
        raise NotImplementedError

    def restore_returned(self, name: int) -> None:
        """Open the handle again with a right that the kernel took and returned, under a name that
        may be new."""
        raise NotImplementedError


class Loan:
    """The attachments of one message: its records and descriptors, the owners of the rights that it
    borrows, and the receivers that move. Every call needs LOCK.

    After `pack`, exactly one of `commit`, `roll_back` and `roll_back_returned` ends the loan.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        """Check all handles, and change none. Raises ForeignHandleError, ClosedError, or IpcError
        for a receiver that is in use or attached twice."""
        self.records: list[tuple[int, int]] = []
        self.ports: list[bytes] = []
        self.lenders: list[RefCounted] = []
        self._moving: list[tuple[Movable, int]] = []
        self._handles: list[Lendable] = []
        for handle in attachments:
            if not isinstance(handle, Lendable):
                raise ForeignHandleError(
                    f"the macos backend cannot carry a {type(handle).__name__}"
                )
            handle.check_lendable()
            if isinstance(handle, Movable) and handle in self._handles:
                raise IpcError("a message cannot carry one receiver twice")
            self._handles.append(handle)

    def pack(self) -> None:
        """Fill in records and descriptors. Receivers that move are closed from here on."""
        for handle in self._handles:
            handle.lend(self)

    def borrow(self, record: int, size: int, name: int, owner: RefCounted) -> None:
        """Add an attachment with a send right, which stays with its owner."""
        self.lenders.append(owner)
        self._add(record, size, name, MACH_MSG_TYPE_COPY_SEND)

    def borrow_gate(self, gate: Gate) -> None:
        """Add a gate to the sender that was added last."""
        self.records[-1] = (wire.GATED_SENDER, 0)
        self.lenders.append(gate)
        self.ports.append(wire.port_descriptor(gate.name, MACH_MSG_TYPE_COPY_SEND))

    def move(self, receiver: Movable, name: int) -> None:
        """Add a receiver, with its receive right."""
        self._moving.append((receiver, name))  # first: a roll back after an interrupt finds it
        receiver.detach()
        receiver_leaves(name)
        self._add(wire.RECEIVER, 0, name, MACH_MSG_TYPE_MOVE_RECEIVE)

    def add_empty_region(self) -> None:
        """Add a region of no bytes, which has no right."""
        self.records.append((wire.EMPTY_REGION, 0))

    def _add(self, record: int, size: int, name: int, disposition: int) -> None:
        self.records.append((record, size))
        self.ports.append(wire.port_descriptor(name, disposition))

    def commit(self) -> None:
        """End the loan of a message that was sent, or is held."""
        for receiver, _ in self._moving:
            receiver.moved()

    def roll_back(self) -> None:
        """Undo `pack`; no message was made."""
        for receiver, name in self._moving:
            receiver.restore(name)

    def roll_back_returned(self, names: Sequence[int]) -> None:
        """Undo `pack` after a send that failed; `names` are the receive rights, in order."""
        for (receiver, _), name in zip(self._moving, names, strict=True):
            receiver.restore_returned(name)


Makers = Mapping[Kind, Callable[[Sequence[int], int], Attachment]]
"""The function for each kind that makes a handle of the names of its rights and the bytes of a
region. It takes over the rights, also when it raises DecodeError because they are unusable."""
