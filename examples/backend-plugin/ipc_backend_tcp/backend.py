"""The backend as the core sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ipc_backend_tcp.broker import the_broker
from ipc_backend_tcp.receiver import TcpReceiver
from ipc_backend_tcp.sender import TcpSender
from ipc_core.spi import Attachment, Backend, Capability, NotSupportedError

if TYPE_CHECKING:
    from ipc_backend_tcp.listener import TcpOneShotServer
    from ipc_backend_tcp.receiver_set import TcpReceiverSet


class TcpBackend(Backend):
    """Each channel lives in the process that made it; endpoints are connections to there."""

    name: ClassVar[str] = "tcp"
    capabilities: ClassVar[Capability] = (
        Capability.CROSS_PROCESS | Capability.UNBOUNDED | Capability.PROMPT_DISCONNECT
    )

    def channel(self, capacity: int | None = None) -> tuple[TcpSender, TcpReceiver]:
        if capacity is not None:
            raise NotSupportedError("the tcp backend has no bounded channels")
        address = the_broker().new_channel()
        receiver = TcpReceiver.connect(address)
        try:
            return TcpSender.connect(address), receiver
        except BaseException:
            receiver.close()
            raise

    def receiver_set(self) -> TcpReceiverSet:
        from ipc_backend_tcp.receiver_set import TcpReceiverSet

        return TcpReceiverSet()

    def one_shot_server(self) -> TcpOneShotServer:
        from ipc_backend_tcp.listener import TcpOneShotServer

        return TcpOneShotServer()

    def connect(self, name: str) -> TcpSender:
        from ipc_backend_tcp.listener import connect

        return connect(name)

    def for_child(self, handle: Attachment) -> object:
        from ipc_backend_tcp.inheritance import hand_over

        return hand_over(handle)

    def from_parent(self, inheritable: Any) -> Attachment:
        from ipc_backend_tcp.inheritance import take_over

        return take_over(inheritable)
