"""Channels between processes, whose ends are values that travel in messages.

tx, rx = ipc_core.channel()
tx.send({"jobs": [1, 2, 3]})
rx.recv()
"""

from __future__ import annotations

from ipc_core.channel import bytes_channel, channel
from ipc_core.errors import (
    BrokenChannelError,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    EncodeError,
    ForeignHandleError,
    Full,
    IpcError,
    IpcIOError,
    MovedError,
    NoBackendError,
    NotSupportedError,
    SerDeError,
)
from ipc_core.receiver import IpcBytesReceiver, IpcReceiver, OpaqueIpcReceiver
from ipc_core.registry import set_default_backend, use_backend
from ipc_core.sender import IpcBytesSender, IpcSender, OpaqueIpcSender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ipc_core.aio import IpcStream
    from ipc_core.one_shot_server import IpcOneShotServer
    from ipc_core.receiver_set import (
        ChannelClosed,
        IpcMessage,
        IpcReceiverSet,
        IpcSelectionResult,
        MessageReceived,
    )
    from ipc_core.router import ROUTER, Router
    from ipc_core.shared_memory import IpcSharedMemory

# What the first message does not need is imported on first use, so that children start quickly.
_LAZY = {
    "ChannelClosed": "receiver_set",
    "IpcMessage": "receiver_set",
    "IpcOneShotServer": "one_shot_server",
    "IpcReceiverSet": "receiver_set",
    "IpcStream": "aio",
    "IpcSelectionResult": "receiver_set",
    "IpcSharedMemory": "shared_memory",
    "MessageReceived": "receiver_set",
    "ROUTER": "router",
    "Router": "router",
}

__version__ = "0.1.0"

__all__ = [
    "ROUTER",
    "BrokenChannelError",
    "ChannelClosed",
    "ClosedError",
    "DecodeError",
    "Disconnected",
    "Empty",
    "EncodeError",
    "ForeignHandleError",
    "Full",
    "IpcBytesReceiver",
    "IpcBytesSender",
    "IpcError",
    "IpcIOError",
    "IpcMessage",
    "IpcOneShotServer",
    "IpcReceiver",
    "IpcReceiverSet",
    "IpcSelectionResult",
    "IpcSender",
    "IpcSharedMemory",
    "IpcStream",
    "MessageReceived",
    "MovedError",
    "NoBackendError",
    "NotSupportedError",
    "OpaqueIpcReceiver",
    "OpaqueIpcSender",
    "Router",
    "SerDeError",
    "bytes_channel",
    "channel",
    "set_default_backend",
    "use_backend",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
