"""A channel: one SOCK_SEQPACKET socket pair.

A small message is one packet, one system call on each side. What does not fit in a packet goes
through memory (`payload`), what the socket does not take into a log (`overflow`).
"""

from __future__ import annotations

from ipc_backend_unix.descriptors import pair
from ipc_backend_unix.errors import translated
from ipc_backend_unix.overflow import SEND_BUFFER, set_send_buffer
from ipc_backend_unix.receiver import UnixReceiver
from ipc_backend_unix.sender import UnixSender
from ipc_backend_unix.writer import SendLine


def make_channel() -> tuple[UnixSender, UnixReceiver]:
    try:
        sending, receiving = pair()
    except OSError as error:
        raise translated(error) from error
    set_send_buffer(sending, SEND_BUFFER)
    return UnixSender(SendLine(sending)), UnixReceiver(receiving)
