"""All that the author of a backend or codec imports.

A backend moves bytes and attachments between endpoints; everything else (objects, errors of
misuse, choice of backend, timeouts in user's units) is written once, in the core.
"""

from __future__ import annotations

from ipc_core.spi.backend import (
    BACKENDS_GROUP,
    HOOK,
    PROJECT,
    SPI_VERSION,
    Backend,
    Capability,
    Finding,
    hookimpl,
)
from ipc_core.spi.codec import (
    CODECS_GROUP,
    Attach,
    Codec,
    Coder,
    Redeem,
    Reference,
    is_attachable,
)
from ipc_core.spi.concurrency import THREADS, BriefLock, mend_after_fork, unheld
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
from ipc_core.spi.handles import (
    Attachment,
    Buffer,
    Kind,
    OsIpcOneShotServer,
    OsIpcReceiver,
    OsIpcReceiverSet,
    OsIpcSender,
    OsIpcSharedMemory,
    Payload,
    PeerMemory,
)
from ipc_core.spi.regions import Region, RegionHandle

__all__ = [
    "BACKENDS_GROUP",
    "CODECS_GROUP",
    "HOOK",
    "PROJECT",
    "SPI_VERSION",
    "THREADS",
    "Attach",
    "Attachment",
    "Backend",
    "BriefLock",
    "BrokenChannelError",
    "Buffer",
    "Capability",
    "ClosedError",
    "Codec",
    "Coder",
    "DecodeError",
    "Disconnected",
    "Empty",
    "EncodeError",
    "Finding",
    "ForeignHandleError",
    "Full",
    "IpcError",
    "IpcIOError",
    "Kind",
    "MovedError",
    "NoBackendError",
    "NotSupportedError",
    "OsIpcOneShotServer",
    "OsIpcReceiver",
    "OsIpcReceiverSet",
    "OsIpcSender",
    "OsIpcSharedMemory",
    "Payload",
    "PeerMemory",
    "Redeem",
    "Reference",
    "Region",
    "RegionHandle",
    "SerDeError",
    "hookimpl",
    "is_attachable",
    "mend_after_fork",
    "unheld",
]
