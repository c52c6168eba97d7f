"""The unix backend as the core sees it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ipc_backend_unix.channel import make_channel
from ipc_backend_unix.memory import UnixSharedMemory, fill_region, make_region
from ipc_backend_unix.writer import LARGEST_PACKET, SMALL
from ipc_core.spi import Attachment, Backend, Buffer, Capability, Finding, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from ipc_backend_unix.listener import UnixOneShotServer
    from ipc_backend_unix.receiver import UnixReceiver
    from ipc_backend_unix.receiver_set import UnixReceiverSet
    from ipc_backend_unix.sender import UnixSender


class UnixBackend(Backend):
    """Unix sockets and memfds."""

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
        return make_channel()

    def receiver_set(self) -> UnixReceiverSet:
        from ipc_backend_unix.receiver_set import UnixReceiverSet

        return UnixReceiverSet()

    def one_shot_server(self) -> UnixOneShotServer:
        from ipc_backend_unix.listener import UnixOneShotServer

        return UnixOneShotServer()

    def connect(self, name: str) -> UnixSender:
        from ipc_backend_unix.listener import connect

        return connect(name)

    def for_child(self, handle: Any) -> object:
        from ipc_backend_unix.inheritance import hand_over

        return hand_over(handle)

    def from_parent(self, parcel: Any) -> Attachment:
        from ipc_backend_unix.inheritance import take_over

        return take_over(parcel)

    def checkup(self) -> Iterator[Finding]:
        from ipc_backend_unix.checkup import checkup

        return checkup()

    def shared_memory(self, data_or_size: Buffer | int) -> UnixSharedMemory:
        return make_region(data_or_size)

    def filled_memory(self, chunks: Iterable[Buffer], size: int) -> UnixSharedMemory:
        return fill_region(chunks, size)
