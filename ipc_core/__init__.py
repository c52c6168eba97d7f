"""Channels between processes, whose ends are values that travel in messages.

tx, rx = ipc_core.channel()
tx.send({"jobs": [1, 2, 3]})
rx.recv()
"""

from __future__ import annotations

import ipc_core._typing as t
from ipc_core.channels.channel import bytes_channel, channel
from ipc_core.channels.receiver import IpcBytesReceiver, IpcReceiver, OpaqueIpcReceiver
from ipc_core.channels.sender import IpcBytesSender, IpcSender, OpaqueIpcSender
from ipc_core.plugins.choice import set_default_backend, use_backend
from ipc_core.spi.errors import (
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipc_core.channels.receiver_set import IpcReceiverSet
    from ipc_core.channels.router import ROUTER, Router
    from ipc_core.channels.selection import (
        ChannelClosed,
        IpcMessage,
        IpcSelectionResult,
        MessageReceived,
    )
    from ipc_core.channels.server import IpcOneShotServer
    from ipc_core.channels.shared_memory import IpcSharedMemory
    from ipc_core.channels.stream import IpcStream

# Names that the first message does not need are imported on first use: children start quickly.
_LAZY = {
    "ChannelClosed": "channels.selection",
    "IpcMessage": "channels.selection",
    "IpcOneShotServer": "channels.server",
    "IpcReceiverSet": "channels.receiver_set",
    "IpcStream": "channels.stream",
    "IpcSelectionResult": "channels.selection",
    "IpcSharedMemory": "channels.shared_memory",
    "MessageReceived": "channels.selection",
    "ROUTER": "channels.router",
    "Router": "channels.router",
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


def __getattr__(name: str) -> t.Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
