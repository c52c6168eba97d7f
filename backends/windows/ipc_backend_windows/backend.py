"""The windows backend as the core sees it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from ipc_core.spi import Attachment, Backend, Buffer, Capability, NotSupportedError

if TYPE_CHECKING:
    from ipc_backend_windows.listener import WindowsOneShotServer
    from ipc_backend_windows.memory import WindowsSharedMemory
    from ipc_backend_windows.receiver import WindowsReceiver
    from ipc_backend_windows.receiver_set import WindowsReceiverSet
    from ipc_backend_windows.sender import WindowsSender


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
        from ipc_backend_windows.sender import make_channel

        if capacity is not None:
            raise NotSupportedError("the windows backend has no bounded channels")
        return make_channel()

    def receiver_set(self) -> WindowsReceiverSet:
        from ipc_backend_windows.receiver_set import WindowsReceiverSet

        return WindowsReceiverSet()

    def one_shot_server(self) -> WindowsOneShotServer:
        from ipc_backend_windows.listener import WindowsOneShotServer

        return WindowsOneShotServer()

    def connect(self, name: str) -> WindowsSender:
        from ipc_backend_windows.listener import connect

        return connect(name)

    def shared_memory(self, data_or_size: Buffer | int) -> WindowsSharedMemory:
        from ipc_backend_windows.memory import make_region

        return make_region(data_or_size)

    def for_child(self, handle: Any) -> object:
        """A receiver is shared by parent and child from then on: each message goes to one."""
        from ipc_backend_windows.inheritance import pack

        return pack(handle)

    def from_parent(self, parcel: Any) -> Attachment:
        from ipc_backend_windows.inheritance import unpack_parcel

        return unpack_parcel(parcel)
