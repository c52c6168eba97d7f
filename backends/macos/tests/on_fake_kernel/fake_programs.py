"""The programs of the child processes of `test_on_fake_kernel.py`."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

from ipc_core.plugins import choice


def _meet(name: str) -> tuple[Any, Any]:
    """Hand out a sender; return the sender to the parent, and the receiver of its messages."""
    backend, address = choice.find_server(name, "once")[0], name.partition(":")[2]
    to_parent = backend.connect(address)
    tx, rx = backend.channel()
    to_parent.send(b"", [tx])
    tx.close()
    return to_parent, rx


def use_given_sender(name: str) -> None:
    """Send with a received sender at once, and say so."""
    to_parent, rx = _meet(name)
    _, (given,) = rx.recv(30)
    for number in range(3):
        given.send(b"child %d" % number)
    to_parent.send(b"sent")
    rx.recv(30)


def give_and_die(name: str) -> None:
    """Fill a channel of the parent's beyond its queue, give the sender back, and be killed."""
    to_parent, rx = _meet(name)
    _, (sender,) = rx.recv(30)
    for number in range(2000):
        sender.send(b"%d" % number)
    to_parent.send(b"given", [sender])
    rx.recv(30)
    os.kill(os.getpid(), signal.SIGKILL)


def hold(name: str) -> None:
    """Receive nothing, until killed."""
    _, rx = _meet(name)
    signal.pause()
    del rx


def fill_and_exit(name: str, count: str) -> None:
    """Send more than a queue holds with a sender of the parent's, and end normally."""
    _, rx = _meet(name)
    _, (sender,) = rx.recv(30)
    for number in range(int(count)):
        sender.send(b"%d" % number)


def forge(name: str, forgery: str) -> None:
    """Send a message that no backend would send; then a proper one."""
    from ipc_backend_macos import kernel, mach, wire

    to_parent, rx = _meet(name)
    destination = to_parent.open_port().name
    spare = kernel.new_port()
    kernel.make_send(spare)
    bits, remote, local = mach.MACH_MSGH_BITS_COMPLEX | mach.MACH_MSG_TYPE_COPY_SEND, destination, 0
    rest = wire.OURS.pack(wire.MAGIC, wire.VERSION, 0, 0, 0) + bytes(4)
    descriptors = [wire.port_descriptor(spare, mach.MACH_MSG_TYPE_COPY_SEND)] * 3
    id = wire.MESSAGE_ID
    if forgery == "receive right":
        descriptors = [wire.port_descriptor(kernel.new_port(), mach.MACH_MSG_TYPE_MOVE_RECEIVE)]
    elif forgery == "array":
        address = kernel.allocate_memory(12)
        ctypes.memmove(address, (ctypes.c_uint32 * 3)(spare, spare, spare), 12)
        kind = mach.MACH_MSG_OOL_PORTS_DESCRIPTOR
        disposition = mach.MACH_MSG_TYPE_COPY_SEND
        descriptors = [mach.OOL.pack(address, 1, 0, disposition, kind, 3)]
    elif forgery == "memory":
        descriptors = [wire.region_descriptor(kernel.allocate_memory(9000), 9000)] * 1
    elif forgery == "reply port":
        bits |= mach.MACH_MSG_TYPE_MAKE_SEND_ONCE << mach.MACH_MSGH_BITS_LOCAL_SHIFT
        local = spare
    elif forgery == "false notification":
        bits, descriptors, id = mach.MACH_MSG_TYPE_COPY_SEND, [], mach.MACH_NOTIFY_NO_SENDERS
    body = mach.BODY.pack(len(descriptors)) + b"".join(descriptors) + rest
    body += bytes(-len(body) % 4)
    message = mach.HEADER.pack(bits, 24 + len(body), remote, local, 0, id) + body
    codes: list[int] = []
    kernel.send(mach.buffer_of(message), len(message), 0, codes)
    assert codes == [0]
    to_parent.send(b"proper")
    rx.recv(30)
    kernel.release_send(spare)
    kernel.destroy_port(spare)
