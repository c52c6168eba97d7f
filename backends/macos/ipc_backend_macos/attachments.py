"""Handles enter a message, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence

from ipc_backend_macos import wire
from ipc_backend_macos.mach import MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MOVE_RECEIVE
from ipc_backend_macos.memory import MacosSharedMemory
from ipc_backend_macos.receiver import MacosReceiver
from ipc_backend_macos.refcount import Shared
from ipc_backend_macos.remote_port import receives_elsewhere
from ipc_backend_macos.sender import MacosSender
from ipc_core.spi import Attachment, ClosedError, ForeignHandleError, IpcError


class Luggage:
    """The attachments of one message: records and descriptors, who lends the rights in them, and
    the receivers that move. Everything happens under LOCK."""

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        """Check all handles. Raises ForeignHandleError, ClosedError, or IpcError for a receiver
        that is in use or attached twice; nothing has changed then."""
        self.records: list[tuple[int, int]] = []
        self.ports: list[bytes] = []
        self.lenders: list[Shared] = []
        self._receivers: list[MacosReceiver] = []
        self._departed: list[tuple[MacosReceiver, int]] = []
        for attachment in attachments:
            if isinstance(attachment, MacosReceiver):
                attachment.check_idle()
                if attachment in self._receivers:
                    raise IpcError("a message cannot carry one receiver twice")
                self._receivers.append(attachment)
            elif isinstance(attachment, MacosSender):
                attachment.destination  # noqa: B018  raises if it is closed
            elif isinstance(attachment, MacosSharedMemory):
                if attachment.entry.size and not attachment.entry.name:
                    raise ClosedError("regions cannot be sent by a forked process")
            else:
                attachment.kind  # noqa: B018  what the core puts in place of a closed handle raises
                raise ForeignHandleError(
                    f"the macos backend cannot carry a {type(attachment).__name__}"
                )
        self._attachments = attachments

    def pack(self) -> None:
        """Fill in records and descriptors. The receivers' handles are closed from here on."""
        for attachment in self._attachments:
            if isinstance(attachment, MacosSender):
                self._pack_sender(attachment)
            elif isinstance(attachment, MacosReceiver):
                name = attachment.name
                self._departed.append((attachment, name))  # first: an interrupt may come between
                attachment.depart()
                receives_elsewhere(name)
                self._add(wire.RECEIVER, 0, name, MACH_MSG_TYPE_MOVE_RECEIVE)
            elif isinstance(attachment, MacosSharedMemory):
                self._pack_region(attachment)

    def _pack_sender(self, sender: MacosSender) -> None:
        destination = sender.destination
        gate = None if destination.dead else destination.gate()
        self.lenders.append(destination)
        self._add(wire.SENDER, 0, destination.name, MACH_MSG_TYPE_COPY_SEND)
        if gate is not None:
            self.records[-1] = (wire.GATED_SENDER, 0)
            self.lenders.append(gate)
            self.ports.append(wire.port_descriptor(gate.name, MACH_MSG_TYPE_COPY_SEND))

    def _pack_region(self, region: MacosSharedMemory) -> None:
        entry = region.entry
        if not entry.size:
            self.records.append((wire.EMPTY_REGION, 0))
            return
        self.lenders.append(entry)
        self._add(wire.REGION, entry.size, entry.name, MACH_MSG_TYPE_COPY_SEND)

    def _add(self, kind: int, size: int, name: int, disposition: int) -> None:
        self.records.append((kind, size))
        self.ports.append(wire.port_descriptor(name, disposition))

    def sent(self) -> None:
        for receiver, _ in self._departed:
            receiver.departed()

    def stay(self) -> None:
        """Undo `pack`; no message was made."""
        for receiver, name in self._departed:
            receiver.stay(name)

    def come_back(self, names: Sequence[int]) -> None:
        """Undo `pack`; `names` are the receive rights, in order."""
        for (receiver, _), name in zip(self._departed, names, strict=True):
            receiver.come_back(name)
