"""The macos backend as the core sees it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from ipc_backend_macos import kernel, wire
from ipc_core.spi import Backend, Buffer, Capability, Finding, NotSupportedError

if TYPE_CHECKING:
    from ipc_backend_macos.listener import MacosOneShotServer
    from ipc_backend_macos.memory import MacosSharedMemory
    from ipc_backend_macos.receiver import MacosReceiver
    from ipc_backend_macos.receiver_set import MacosReceiverSet
    from ipc_backend_macos.sender import MacosSender


class MacosBackend(Backend):
    """Mach ports. Experimental: it was never run on a Mac, and says so on first use."""

    name: ClassVar[str] = "macos"
    capabilities: ClassVar[Capability] = (
        Capability.CROSS_PROCESS
        | Capability.UNBOUNDED
        | Capability.PROMPT_DISCONNECT
        | Capability.SHARED_MEMORY
        | Capability.FREES_RINGS
        | Capability.FILENO
    )
    size_hints: ClassVar[tuple[int, ...]] = (wire.INLINE_MAX,)
    remark: ClassVar[str | None] = "experimental: never run on a Mac"

    def unavailable_reason(self) -> str | None:
        if sys.platform != "darwin" and not kernel.in_use():
            return f"it needs Mach, the kernel of macOS; this is {sys.platform}"
        return None

    def channel(self, capacity: int | None = None) -> tuple[MacosSender, MacosReceiver]:
        """See Backend.channel. Raises NotSupportedError for a capacity."""
        from ipc_backend_macos.receiver import MacosReceiver
        from ipc_backend_macos.sender import received_sender

        if capacity is not None:
            raise NotSupportedError("the macos backend has no bounded channels")
        name = kernel.new_port()
        try:
            kernel.make_send(name)
        except BaseException:
            kernel.destroy_port(name)
            raise
        sender = received_sender(name)
        return sender, MacosReceiver(name)

    def receiver_set(self) -> MacosReceiverSet:
        from ipc_backend_macos.receiver_set import MacosReceiverSet

        return MacosReceiverSet()

    def one_shot_server(self) -> MacosOneShotServer:
        from ipc_backend_macos.listener import MacosOneShotServer

        return MacosOneShotServer()

    def connect(self, name: str) -> MacosSender:
        from ipc_backend_macos.listener import connect

        return connect(name)

    def shared_memory(self, data_or_size: Buffer | int) -> MacosSharedMemory:
        from ipc_backend_macos.memory import make_region

        return make_region(data_or_size)

    def checkup(self) -> Iterator[Finding]:
        yield (
            "state of this backend",
            "experimental: it was tested on a simulated kernel, never on a Mac",
            "report what you find",
        )
