"""All that the author of a backend or codec imports.

A backend moves bytes and attachments between endpoints; everything else (objects, errors of
misuse, choice of backend, timeouts in user's units) is written once, in the core. Handles are
described by protocols: any class with these methods will do. Each protocol states the contract;
an implementation only notes where it differs.

Timeouts are seconds: None waits, 0 polls, any other value is finite and positive; the core has
already refused NaN and negative ones. Waiting releases the GIL, survives signals with the
remaining time, and lets KeyboardInterrupt through.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, Union

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
from ipc_core.forking import BriefLock, mend_after_fork, unheld
from ipc_core.threads import THREADS

if TYPE_CHECKING:
    from typing_extensions import Self

SPI_VERSION = 1
HOOK = "ipc_core_backend"
PROJECT = "ipc_core"
BACKENDS_GROUP = "ipc_core.backends"

Buffer = Union[bytes, bytearray, memoryview]


class Kind(enum.IntEnum):
    """What an attachment is."""

    SENDER = 1
    RECEIVER = 2
    SHARED_MEMORY = 3


class Capability(enum.Flag):
    """What a backend can do. Tests and programs ask for these, never for a backend's name."""

    CROSS_PROCESS = enum.auto()
    """Endpoints work in other processes; one-shot names can be handed to a child."""
    UNBOUNDED = enum.auto()
    """`send` never waits for the receiver."""
    BOUNDED = enum.auto()
    """`channel(capacity)` makes bounded channels."""
    OUTLIVES_SENDER = enum.auto()
    """What `send` accepted is delivered even if the sending process is killed."""
    PROMPT_DISCONNECT = enum.auto()
    """Both ends learn at once that the other is gone."""
    SHARED_MEMORY = enum.auto()
    """`shared_memory` makes regions that both sides see."""
    FILENO = enum.auto()
    """Receivers and sets have a descriptor that polls readable when they have something."""
    FREES_RINGS = enum.auto()
    """Channels that hold each other's receivers, or their own, in unread messages are freed when
    nobody else can reach them."""
    FORK = enum.auto()
    """After os.fork both processes may use and close every end, whatever threads of the parent
    were doing with it. A backend without it makes the child's copies raise, or says that they are
    not to be used."""


class OsIpcSender(Protocol):
    """The sending end of a channel. Safe to use from any thread."""

    kind: ClassVar[Kind] = Kind.SENDER

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """Send one message: the concatenated buffers and the attachments, in order.

        Returning means accepted: its receivers were taken over (their handles are closed),
        senders and regions were copied. On any exception every handle is as before and nothing
        was sent. Buffers are contiguous runs of single
        bytes, borrowed for the call. `timeout` only matters on bounded channels.

        Raises BrokenChannelError when no receiver is left, Full when a bounded channel stays
        full for `timeout`, ForeignHandleError for an attachment of another backend, IpcError for a
        receiver that is attached twice or in use by another thread, IpcIOError when the system
        refuses, ClosedError after `close`.
        """

    def clone(self) -> Self:
        """Return another handle on the same channel; it keeps the channel connected too."""

    def wait_closed(self, timeout: float | None) -> bool:
        """Wait until the receiver is gone; return whether it is.

        Raises ClosedError after `close`, also when another thread calls it during the wait.
        """

    def close(self) -> None:
        """Release this handle. Closing twice does nothing."""


class PeerMemory(Protocol):
    """A payload in memory that its sender can still write. Used once: copied, or mapped.

    Dropping it, after `read` or with the last view of a `map`, tells the sender that the memory is
    free. A backend that has no such memory returns a Buffer from `recv` instead.
    """

    def __len__(self) -> int: ...

    def read(self) -> bytes:
        """Copy the payload: for readers that the sender must not be able to deceive.

        Raises DecodeError for memory that does not hold the payload.
        """

    def map(self) -> memoryview:
        """The payload without a copy, writable, and what is written is seen here only.

        The view is valid as long as it lives, whatever the sender does, but a dishonest sender
        can change what was not yet written here. Where that cannot be had it is a copy. Raises
        what `read` raises, and MemoryError or IpcIOError when the system refuses.
        """


class OsIpcReceiver(Protocol):
    """The receiving end. Each message goes to exactly one caller of `recv`."""

    kind: ClassVar[Kind] = Kind.RECEIVER

    def recv(self, timeout: float | None) -> tuple[Payload, Sequence[Attachment]]:
        """Return the next message; the caller owns the payload and the attachments. A payload that
        is a writable buffer (bytearray, memoryview) is the caller's alone.

        Raises Empty when nothing arrives in time, Disconnected when the queue is empty and
        every sender is gone, DecodeError for a message that is not well-formed (the next call
        works), IpcIOError when the system refuses (that message may be lost), ClosedError after
        `close`, also when another thread calls it during the wait.
        """

    def fileno(self) -> int | None:
        """A descriptor, constant for life, that is readable whenever `recv(0)` would not raise
        Empty; or None."""

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """Have `callback()` called once, in any thread, when `recv(0)` may not raise Empty; it may
        be called before this returns. Return what takes it back. Only needed where `fileno`
        returns None."""

    def close(self) -> None:
        """Release the handle and drop what is unread. Closing twice does nothing."""


class OsIpcReceiverSet(Protocol):
    """Many receivers, waited for together. `add` and `remove` work while another thread selects."""

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        """Take over a receiver; its results carry `id`."""

    def remove(self, id: int) -> OsIpcReceiver:
        """Give a receiver back. Raises KeyError for an id that is not in the set."""

    def select(
        self, timeout: float | None, limit: int = 64
    ) -> Sequence[tuple[int, Payload | SerDeError | IpcIOError | None, Sequence[Attachment]]]:
        """Wait for messages and closed channels; return up to `limit` of them as (id, data,
        attachments).

        Data is None for a channel whose senders are all gone: it has left the set. Data is an
        exception where receiving one message failed: its receiver stays. Ready receivers are
        served in turn. An empty list means that `timeout` passed or `wake` was called.
        """

    def wake(self) -> None:
        """Make a running `select`, or else the next one, return at once."""

    def fileno(self) -> int | None:
        """A descriptor that is readable whenever `select(0)` would return something; or None."""

    def close(self) -> None:
        """Close the set and its receivers; a running `select` raises ClosedError."""


class OsIpcOneShotServer(Protocol):
    """A name at which one client can connect, once."""

    name: str

    def accept(self, timeout: float | None) -> tuple[OsIpcReceiver, Payload, Sequence[Attachment]]:
        """Wait for the client and its first message; return the receiver and that message.

        Raises Empty when `timeout` passes (accept may be called again), Disconnected when the
        client left without a message, ClosedError after `close` or a client was accepted.
        """

    def close(self) -> None:
        """Give up the name. A client that has connected finds its channel broken."""


class OsIpcSharedMemory(Protocol):
    """A region of memory that travels by reference."""

    kind: ClassVar[Kind] = Kind.SHARED_MEMORY

    @property
    def buffer(self) -> memoryview:
        """The bytes, writable, shared with every holder. Stays valid after `close`."""

    def __len__(self) -> int: ...

    def clone(self) -> Self:
        """Another handle on the same memory."""

    def close(self) -> None:
        """Release this handle; the memory lives until the last handle and view are gone."""


Finding = tuple[str, str, Union[str, None]]
"""A limit, what it is here, and what to do about it; None where it is high enough."""

Attachment = Union[OsIpcSender, OsIpcReceiver, OsIpcSharedMemory]

Payload = Union[Buffer, PeerMemory]


class Backend:
    """A transport. Derive from it, so that methods added later have a default.

    `size_hints` are payload sizes in bytes at which the backend changes its method; the
    conformance kit tests around each. `remark` is what whoever chooses a backend should know of
    this one, in a few words, for `ipc-core backends`.
    """

    spi_version: ClassVar[int] = SPI_VERSION
    name: ClassVar[str]
    capabilities: ClassVar[Capability]
    size_hints: ClassVar[tuple[int, ...]] = ()
    remark: ClassVar[str | None] = None

    def unavailable_reason(self) -> str | None:
        """Why this backend cannot work here, as a sentence; None when it can. Never raises."""
        return None

    def channel(self, capacity: int | None = None) -> tuple[OsIpcSender, OsIpcReceiver]:
        """Make a channel. `capacity` is None for an unbounded one.

        Raises NotSupportedError for a kind of channel that the capabilities do not include.
        """
        raise self._lacks("channels")

    def receiver_set(self) -> OsIpcReceiverSet:
        """Make an empty receiver set."""
        raise self._lacks("receiver sets")

    def one_shot_server(self) -> OsIpcOneShotServer:
        """Make a server under a fresh name that only the same user can reach or guess."""
        raise self._lacks("one-shot servers")

    def connect(self, name: str) -> OsIpcSender:
        """Connect to a one-shot server by its `name`. Raises IpcIOError when there is none or
        another client was first."""
        raise self._lacks("one-shot servers")

    def shared_memory(self, data_or_size: Buffer | int) -> OsIpcSharedMemory:
        """Make a region with a copy of the data, or one of that many zero bytes."""
        raise self._lacks("shared memory")

    def for_child(self, handle: Attachment) -> object:
        """Something to pickle while multiprocessing starts a child, which `from_parent` there
        turns into a second handle. This one stays as it is."""
        raise self._lacks("way into another process")

    def from_parent(self, parcel: Any) -> Attachment:
        """The handle for what `for_child` returned in the parent."""
        raise self._lacks("way into another process")

    def checkup(self) -> Iterable[Finding]:
        """The limits of this machine that matter to this backend, for `ipc-core doctor`."""
        return ()

    def _lacks(self, what: str) -> NotSupportedError:
        return NotSupportedError(f"the {self.name} backend has no {what}")


class Codec(Protocol):
    """How objects become bytes. Endpoints among them call `ipc_core.message.attach`."""

    name: str

    def encode(self, obj: object, embedded: list[Any]) -> Buffer | Sequence[Buffer]:
        """Turn an object into bytes. `embedded` lists the endpoints found on the way, by slot;
        a codec that starts over clears it."""

    def decode(self, data: Buffer) -> Any:
        """Turn bytes into an object. Any exception becomes a DecodeError."""


_Hook = TypeVar("_Hook", bound=Callable[[], Backend])


def hookimpl(function: _Hook) -> _Hook:
    """Mark a plugin's `ipc_core_backend`, as `pluggy.HookimplMarker("ipc_core")` would.

    Needed because importing pluggy doubles the start-up time of a child; either marker works.
    """
    options = dict.fromkeys(
        ("wrapper", "hookwrapper", "optionalhook", "tryfirst", "trylast"), False
    )
    function.ipc_core_impl = options | {"specname": None}  # type: ignore[attr-defined]
    return function


__all__ = [
    "BACKENDS_GROUP",
    "HOOK",
    "PROJECT",
    "SPI_VERSION",
    "THREADS",
    "Attachment",
    "Backend",
    "BriefLock",
    "BrokenChannelError",
    "Buffer",
    "Capability",
    "ClosedError",
    "Codec",
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
    "SerDeError",
    "hookimpl",
    "mend_after_fork",
    "unheld",
]
