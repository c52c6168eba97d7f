"""A message on its way out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from ipc_backend_macos import kernel, mach
from ipc_backend_macos.mach import HEADER, MACH_MSG_PORT_DESCRIPTOR, PORT
from ipc_backend_macos.refcount import Shared
from ipc_backend_macos.rights import release_descriptor, release_right
from ipc_backend_macos.wire import descriptors


class Parcel:
    """The bytes of a message, and the rights in them.

    It borrows send rights (COPY_SEND) and owns receive rights and memory. When the kernel takes
    in a message and then finds the queue full, it returns the message as if it had been received:
    names and addresses may be new, and all rights are owned. Both forms can be sent as they are.
    """

    __slots__ = ("_buffer", "_codes", "_keeps", "_size")

    def __init__(self, message: bytes) -> None:
        self._size = len(message)
        self._buffer = (ctypes.c_char * self._size).from_buffer_copy(message)
        self._codes: list[int] = []
        self._keeps: Sequence[Shared] = ()

    def send(self, options: int = 0) -> int:
        """Send without waiting; return what mach_msg returned."""
        kernel.send(self._buffer, self._size, options, self._codes)
        return self._codes[-1]

    @property
    def accepted(self) -> bool:
        """Whether the kernel has the message, and with it all that the message owned."""
        return bool(self._codes) and self._codes[-1] == mach.MACH_MSG_SUCCESS

    def keep(self, lenders: Sequence[Shared]) -> None:
        """See to it that the rights it borrows stay until it is sent."""
        self._keeps = lenders
        for lender in lenders:
            lender.hold(self)

    def settle(self) -> None:
        """It was sent: what it borrowed may go."""
        for lender in self._keeps:
            lender.drop(self)

    def take_back(self) -> list[int]:
        """It was not accepted: give back all that it owns but its receive rights, and return
        their names in order."""
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
        self.settle()
        return receivers

    def discard(self) -> None:
        """Give back all that it owns: nobody can receive it any more."""
        for name in self.take_back():
            kernel.destroy_port(name)
