"""The unix backend as the core sees it.

A channel is one SOCK_SEQPACKET socket pair. A small message is one packet, one system call on each
side. A payload that does not fit in a packet goes through memory (`payload_pool`, `peer_memory`), a
message that the socket does not take through a log (`overflow`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ipc_backend_unix.attachments import Makers
from ipc_backend_unix.descriptors import pair
from ipc_backend_unix.errors import translated
from ipc_backend_unix.incoming import Incoming
from ipc_backend_unix.memory import UnixSharedMemory, fill_region, make_region, region_from_fds
from ipc_backend_unix.overflow import SEND_BUFFER, set_send_buffer
from ipc_backend_unix.receiver import UnixReceiver, receiver_from_fds
from ipc_backend_unix.sender import UnixSender, sender_from_fds
from ipc_backend_unix.wire import LARGEST_PACKET, SMALL
from ipc_backend_unix.writer import ChannelWriter
from ipc_core.spi import Attachment, Backend, Buffer, Capability, Finding, Kind, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from ipc_backend_unix.listener import UnixOneShotServer
    from ipc_backend_unix.receiver_set import UnixReceiverSet


class UnixBackend(Backend):
    """Unix sockets and memfds.

    Modules that not every child needs are imported on first use: children start often.
    """

    name: ClassVar[str] = "unix"
    capabilities: ClassVar[Capability] = (
        Capability.CROSS_PROCESS
        | Capability.UNBOUNDED
        | Capability.OUTLIVES_SENDER
        | Capability.PROMPT_DISCONNECT
        | Capability.SHARED_MEMORY
        | Capability.FILENO
        | Capability.FREES_RINGS
        | Capability.FORK
    )
    size_hints: ClassVar[tuple[int, ...]] = (SMALL, LARGEST_PACKET)

    def unavailable_reason(self) -> str | None:
        if not hasattr(os, "memfd_create") or not hasattr(os, "eventfd"):
            return "it needs memfd and eventfd, which this system or Python does not have (Linux)"
        return None

    def channel(self, capacity: int | None = None) -> tuple[UnixSender, UnixReceiver]:
        if capacity is not None:
            raise NotSupportedError("the unix backend has no bounded channels")
        try:
            sending, receiving = pair()
        except OSError as error:
            raise translated(error) from error
        set_send_buffer(sending, SEND_BUFFER)
        return UnixSender(ChannelWriter(sending)), UnixReceiver(Incoming(receiving, MAKERS))

    def receiver_set(self) -> UnixReceiverSet:
        from ipc_backend_unix.receiver_set import UnixReceiverSet

        return UnixReceiverSet()

    def one_shot_server(self) -> UnixOneShotServer:
        from ipc_backend_unix.listener import UnixOneShotServer

        return UnixOneShotServer(MAKERS)

    def connect(self, name: str) -> UnixSender:
        from ipc_backend_unix.listener import connect

        return connect(name)

    def for_child(self, handle: Any) -> object:
        from ipc_backend_unix.inheritance import hand_over

        return hand_over(handle)

    def from_parent(self, inheritable: Any) -> Attachment:
        from ipc_backend_unix.inheritance import take_over

        return take_over(inheritable, MAKERS)

    def checkup(self) -> Iterator[Finding]:
        from ipc_backend_unix.checkup import checkup

        return checkup()

    def shared_memory(self, data_or_size: Buffer | int) -> UnixSharedMemory:
        return make_region(data_or_size)

    def filled_memory(self, chunks: Iterable[Buffer], size: int) -> UnixSharedMemory:
        return fill_region(chunks, size)


def _receiver(fds: list[int], number: int) -> UnixReceiver:
    return receiver_from_fds(fds, number, MAKERS)


MAKERS: Makers = {
    Kind.SENDER: sender_from_fds,
    Kind.RECEIVER: _receiver,
    Kind.SHARED_MEMORY: region_from_fds,
}
"""How to make a handle of each kind that a message carries. A receiver has this table, since
messages arrive there, and hands it to the receivers it makes."""
