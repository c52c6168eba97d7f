"""Endpoints among the arguments of a process that multiprocessing starts.

On its way an endpoint is a connection of its own, which the parent keeps until the child fetches
it. So the channel stays connected, whatever becomes of the parent's endpoint.
"""

from __future__ import annotations

import socket
import sys
from multiprocessing import resource_sharer
from typing import Any

from ipc_backend_tcp.errors import translated
from ipc_backend_tcp.receiver import TcpReceiver
from ipc_backend_tcp.sender import TcpSender
from ipc_backend_tcp.wire import Address, Link
from ipc_core.spi import ForeignHandleError, Kind


def hand_over(handle: object) -> tuple[Kind, Address, Any]:
    """See Backend.for_child."""
    if not isinstance(handle, (TcpSender, TcpReceiver)):
        raise ForeignHandleError(f"the tcp backend cannot carry a {type(handle).__name__}")
    handle.check_open()
    with translated():
        link = Link(handle.connection.address, handle.role)
        with link.socket:  # which is closed here without a farewell: it goes on in the child
            return handle.kind, handle.connection.address, _shared(link.socket)


def _shared(sock: socket.socket) -> Any:
    if sys.platform == "win32":
        return resource_sharer.DupSocket(sock)
    return resource_sharer.DupFd(sock.fileno())


def take_over(inheritable: tuple[Kind, Address, Any]) -> TcpSender | TcpReceiver:
    """See Backend.from_parent."""
    kind, address, shared = inheritable
    detached = shared.detach()
    with translated(), detached if sys.platform == "win32" else socket.socket(fileno=detached):
        return (TcpSender if kind is Kind.SENDER else TcpReceiver).connect(Address(*address))
