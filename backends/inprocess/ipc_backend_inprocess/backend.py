"""The backend: makes channels, sets, servers and regions."""

from __future__ import annotations

from ipc_backend_inprocess.listener import InprocessOneShotServer, connect
from ipc_backend_inprocess.memory import InprocessSharedMemory
from ipc_backend_inprocess.message_queue import MessageQueue
from ipc_backend_inprocess.receiver import InprocessReceiver
from ipc_backend_inprocess.receiver_set import InprocessReceiverSet
from ipc_backend_inprocess.sender import InprocessSender
from ipc_core.spi import Backend, Buffer, Capability, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class InprocessBackend(Backend):
    """Queues of this process."""

    name: ClassVar[str] = "inprocess"
    capabilities: ClassVar[Capability] = (
        Capability.UNBOUNDED
        | Capability.PROMPT_DISCONNECT
        | Capability.SHARED_MEMORY
        | Capability.FREES_RINGS
    )

    def channel(self, capacity: int | None = None) -> tuple[InprocessSender, InprocessReceiver]:
        """See Backend.channel. Raises NotSupportedError for a capacity."""
        if capacity is not None:
            raise NotSupportedError("the inprocess backend has no bounded channels")
        queue = MessageQueue()
        return InprocessSender(queue), InprocessReceiver(queue)

    def receiver_set(self) -> InprocessReceiverSet:
        return InprocessReceiverSet()

    def one_shot_server(self) -> InprocessOneShotServer:
        return InprocessOneShotServer()

    def connect(self, name: str) -> InprocessSender:
        return connect(name)

    def shared_memory(self, data_or_size: Buffer | int) -> InprocessSharedMemory:
        try:
            memory = bytearray(data_or_size)
        except OverflowError as error:
            raise MemoryError(str(error)) from error
        return InprocessSharedMemory(memory)
