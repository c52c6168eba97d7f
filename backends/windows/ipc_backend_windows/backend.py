"""The windows backend as the core sees it.

A channel is memory that its processes share, a mutex over it, and a named pipe by which the ends
learn of each other. Senders append messages to the memory (`writer`, `queue_writer`), the receiver
reads them there (`receiver`, `queue_reader`).
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from ipc_core.spi import Attachment, Backend, Buffer, Capability, Kind, NotSupportedError

if sys.platform == "win32":  # these modules load kernel32.dll, which other systems lack
    from ipc_backend_windows import pipes
    from ipc_backend_windows.attachments import Makers
    from ipc_backend_windows.errors import translated
    from ipc_backend_windows.inheritance import hand_over, take_over
    from ipc_backend_windows.listener import WindowsOneShotServer, connect
    from ipc_backend_windows.memory import WindowsSharedMemory, make_region, region_from_entry
    from ipc_backend_windows.queue_memory import QueueMemory
    from ipc_backend_windows.receiver import WindowsReceiver, receiver_from_entry
    from ipc_backend_windows.receiver_set import WindowsReceiverSet
    from ipc_backend_windows.sender import WindowsSender, sender_from_entry
    from ipc_backend_windows.writer import ChannelWriter

    MAKERS: Makers = {
        Kind.SENDER: sender_from_entry,
        Kind.RECEIVER: lambda entry: receiver_from_entry(entry, MAKERS),
        Kind.SHARED_MEMORY: region_from_entry,
    }
    """The function that makes a handle of each kind from its entry in a message. A receiver has
    this table, since messages arrive there, and hands it to the receivers it makes."""


class WindowsBackend(Backend):
    """Named pipes, file mappings and duplicated handles."""

    name: ClassVar[str] = "windows"
    capabilities: ClassVar[Capability] = (
        Capability.CROSS_PROCESS
        | Capability.UNBOUNDED
        | Capability.OUTLIVES_SENDER
        | Capability.PROMPT_DISCONNECT
        | Capability.SHARED_MEMORY
        | Capability.FREES_RINGS
    )
    size_hints: ClassVar[tuple[int, ...]] = (60_000, 1 << 17)

    def unavailable_reason(self) -> str | None:
        if sys.platform != "win32":
            return "it needs Windows"
        return None

    def channel(self, capacity: int | None = None) -> tuple[WindowsSender, WindowsReceiver]:
        if capacity is not None:
            raise NotSupportedError("the windows backend has no bounded channels")
        identity = pipes.new_identity()
        try:
            queue = QueueMemory.create(identity)
            receiving = pipes.serve(identity)
            sending = pipes.connect(identity)
        except OSError as error:
            raise translated(error) from error
        writer = ChannelWriter(sending, queue, identity)
        return WindowsSender(writer), WindowsReceiver(receiving, queue, MAKERS)

    def receiver_set(self) -> WindowsReceiverSet:
        return WindowsReceiverSet()

    def one_shot_server(self) -> WindowsOneShotServer:
        return WindowsOneShotServer(MAKERS)

    def connect(self, name: str) -> WindowsSender:
        return connect(name)

    def shared_memory(self, data_or_size: Buffer | int) -> WindowsSharedMemory:
        return make_region(data_or_size)

    def for_child(self, handle: Any) -> object:
        """See Backend.for_child. Parent and child share a receiver from then on: each message goes
        to one of them."""
        return hand_over(handle)

    def from_parent(self, inheritable: Any) -> Attachment:
        return take_over(inheritable, MAKERS)
