"""The macos backend as the core sees it.

A channel is a Mach port: the receiver has the receive right (`receiver`), all senders of a process
share one send right (`sender`, `remote_port`). The kernel queues messages; those that a full queue
refuses are held in the sending process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from ipc_backend_macos import kernel, wire
from ipc_backend_macos.attachments import Makers
from ipc_backend_macos.memory import MacosSharedMemory, make_region, region_from_rights
from ipc_backend_macos.receiver import MacosReceiver
from ipc_backend_macos.sender import MacosSender, adopt_sender, sender_from_rights
from ipc_core.spi import Attachment, Backend, Buffer, Capability, Finding, Kind, NotSupportedError

if TYPE_CHECKING:
    from ipc_backend_macos.listener import MacosOneShotServer
    from ipc_backend_macos.receiver_set import MacosReceiverSet


class MacosBackend(Backend):
    """Mach ports. Experimental: it was never run on a Mac, and says so on first use.

    Modules that not every child needs are imported on first use: children start often.
    """

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
        if capacity is not None:
            raise NotSupportedError("the macos backend has no bounded channels")
        name = kernel.new_port()
        try:
            kernel.make_send(name)
        except BaseException:
            kernel.destroy_port(name)
            raise
        sender = adopt_sender(name)
        return sender, MacosReceiver(name, MAKERS)

    def receiver_set(self) -> MacosReceiverSet:
        from ipc_backend_macos.receiver_set import MacosReceiverSet

        return MacosReceiverSet(MAKERS)

    def one_shot_server(self) -> MacosOneShotServer:
        from ipc_backend_macos.listener import MacosOneShotServer

        return MacosOneShotServer(MAKERS)

    def connect(self, name: str) -> MacosSender:
        from ipc_backend_macos.listener import connect

        return connect(name)

    def shared_memory(self, data_or_size: Buffer | int) -> MacosSharedMemory:
        return make_region(data_or_size)

    def for_child(self, handle: Attachment) -> object:
        """See Backend.for_child. Raises NotSupportedError: a Mach port is not inherited."""
        raise NotSupportedError(
            "the macos backend has no way into a process that starts: give it a server's name"
        )

    def checkup(self) -> Iterator[Finding]:
        yield (
            "state of this backend",
            "experimental: it was tested on a fake kernel, never on a Mac",
            "report what you find",
        )


def _receiver(names: Sequence[int], _size: int) -> MacosReceiver:
    (name,) = names
    return MacosReceiver(name, MAKERS)


MAKERS: Makers = {
    Kind.SENDER: sender_from_rights,
    Kind.RECEIVER: _receiver,
    Kind.SHARED_MEMORY: region_from_rights,
}
"""How to make a handle of each kind that a message carries. A receiver has this table, since
messages arrive there, and hands it to the receivers it makes."""
