"""A message that is being sent."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from ipc_backend_macos import kernel, mach
from ipc_backend_macos.mach import HEADER, MACH_MSG_PORT_DESCRIPTOR, PORT
from ipc_backend_macos.refcount import RefCounted
from ipc_backend_macos.rights import release_descriptor, release_right
from ipc_backend_macos.wire import descriptors


class OutgoingMessage:
    """The bytes of a message, and the rights in them.

    It borrows send rights (COPY_SEND) and owns receive rights and memory. If the kernel copies the
    message in and then finds the queue full, it returns the message as if it had been received:
    names and addresses may be new, and all rights are owned. Both forms can be sent as they are.
    """

    __slots__ = ("_buffer", "_codes", "_lenders", "_size")

    def __init__(self, message: bytes) -> None:
        self._size = len(message)
        self._buffer = (ctypes.c_char * self._size).from_buffer_copy(message)
        self._codes: list[int] = []
        self._lenders: Sequence[RefCounted] = ()

    def send(self, options: int = 0) -> int:
        """Send without waiting; return the code of mach_msg."""
        kernel.send(self._buffer, self._size, options, self._codes)
        return self._codes[-1]

    @property
    def accepted(self) -> bool:
        """Whether the kernel has the message, and with it everything that the message owned."""
        return bool(self._codes) and self._codes[-1] == mach.MACH_MSG_SUCCESS

    def hold_lenders(self, lenders: Sequence[RefCounted]) -> None:
        """Keep the owners of borrowed rights alive until the message is sent or given up."""
        self._lenders = lenders
        for lender in lenders:
            lender.hold(self)

    def drop_lenders(self) -> None:
        """Let go of the owners of borrowed rights."""
        for lender in self._lenders:
            lender.drop(self)

    def reclaim(self) -> list[int]:
        """Take apart a message that the kernel did not accept: return the names of its receive
        rights in order, and give back everything else that it owns."""
        view = memoryview(self._buffer).cast("B")
        bits, _, remote, _, _, _ = HEADER.unpack_from(view)
        receivers = []
        release_right(remote, bits & mach.MACH_MSGH_BITS_REMOTE_MASK)
        for kind, offset in descriptors(view):
            if kind == MACH_MSG_PORT_DESCRIPTOR:
                name, _, _, disposition, _ = PORT.unpack_from(view, offset)
                if disposition == mach.MACH_MSG_TYPE_MOVE_RECEIVE:
                    receivers.append(name)
                    continue
            release_descriptor(view, kind, offset)
        self.drop_lenders()
        return receivers

    def discard(self) -> None:
        """Give back everything that a message owns which no process can receive any more."""
        for name in self.reclaim():
            kernel.destroy_port(name)
