"""The release of everything that a message in memory owns."""

from __future__ import annotations

import ctypes
from typing import Any

from ipc_backend_macos import kernel, mach, wire
from ipc_backend_macos.mach import (
    GUARDED,
    HEADER,
    MACH_MSG_OOL_PORTS_DESCRIPTOR,
    MACH_MSG_PORT_DESCRIPTOR,
    OOL,
    PORT,
)


def release_right(name: int, disposition: int) -> None:
    """Give back a right that came with this disposition. Rights of other dispositions than the
    three that move are borrowed, and stay."""
    if name in (mach.MACH_PORT_NULL, mach.MACH_PORT_DEAD):
        return
    if disposition == mach.MACH_MSG_TYPE_MOVE_RECEIVE:
        kernel.destroy_port(name)
    elif disposition in (mach.MACH_MSG_TYPE_MOVE_SEND, mach.MACH_MSG_TYPE_MOVE_SEND_ONCE):
        kernel.release_send(name)


def release_message(message: memoryview) -> None:
    """Give back every right and all memory of a message in any form that the kernel accepts: one
    that was received, or one that the kernel returned from a send that failed."""
    bits, _, remote, _, voucher, _ = HEADER.unpack_from(message)
    release_right(remote, bits & 0x1F)
    release_right(voucher, bits >> mach.MACH_MSGH_BITS_VOUCHER_SHIFT & 0x1F)
    for kind, offset in wire.descriptors(message):
        release_descriptor(message, kind, offset)


def release_descriptor(message: memoryview, kind: int, offset: int) -> None:
    """Give back the rights or the memory of the descriptor of this type at `offset`."""
    if kind == MACH_MSG_PORT_DESCRIPTOR:
        name, _, _, disposition, _ = PORT.unpack_from(message, offset)
        release_right(name, disposition)
    elif kind == mach.MACH_MSG_GUARDED_PORT_DESCRIPTOR:
        _, _, disposition, _, name = GUARDED.unpack_from(message, offset)
        release_right(name, disposition)
    else:
        address, _, _, disposition, _, size = OOL.unpack_from(message, offset)
        if kind == MACH_MSG_OOL_PORTS_DESCRIPTOR:
            names: Any = (ctypes.c_uint32 * size).from_address(address) if size else ()
            for name in names:
                release_right(name, disposition)
            size *= 4
        if address and size:
            kernel.release_memory(address, size)
