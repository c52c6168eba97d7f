"""The handles that a backend makes: the ends of channels, sets, servers and regions.

They are described by protocols: any class with these methods will do. Each protocol states the
contract; an implementation only notes where it differs.

Timeouts are seconds: None waits, 0 polls, any other value is finite and positive; the core has
already refused NaN and negative ones. Waiting releases the GIL, survives signals with the
remaining time, and lets KeyboardInterrupt through.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import ipc_core._typing as t
from ipc_core.spi.errors import IpcIOError, SerDeError

Buffer = bytes | bytearray | memoryview
Buffers = (bytes, bytearray, memoryview)


def contiguous(data: Buffer) -> Buffer:
    """Return the bytes of any object that supports the buffer protocol, as one run of single bytes;
    copied only if need be."""
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


class Kind(enum.IntEnum):
    """The kind of an attachment."""

    SENDER = 1
    RECEIVER = 2
    SHARED_MEMORY = 3


class OsIpcSender(t.Protocol):
    """The sending end of a channel. Safe to use from any thread."""

    kind: t.ClassVar[Kind] = Kind.SENDER

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

    def clone(self) -> t.Self:
        """Return another handle on the same channel; it keeps the channel connected too."""

    def wait_closed(self, timeout: float | None) -> bool:
        """Wait until the receiver is gone; return whether it is.

        Raises ClosedError after `close`, also when another thread calls it during the wait.
        """

    def close(self) -> None:
        """Release this handle. Closing twice does nothing."""


class PeerMemory(t.Protocol):
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
        """Return the payload without a copy, writable; changes are seen here only.

        The view is valid as long as it lives, whatever the sender does, but a dishonest sender
        can change every part not yet written here. Where that cannot be had it is a copy. Raises
        the same as `read`, and MemoryError or IpcIOError when the system refuses.
        """


class OsIpcReceiver(t.Protocol):
    """The receiving end. Each message goes to exactly one caller of `recv`."""

    kind: t.ClassVar[Kind] = Kind.RECEIVER

    def recv(self, timeout: float | None) -> tuple[Payload, Sequence[Attachment]]:
        """Return the next message; the caller owns the payload and the attachments. A payload that
        is a writable buffer (bytearray, memoryview) is the caller's alone; arrays become views of
        it, so it should begin at a multiple of 16 bytes.

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
        be called before this returns. Return a function that cancels it. Only needed where `fileno`
        returns None."""

    def close(self) -> None:
        """Release the handle and drop unread messages. Closing twice does nothing."""


class OsIpcReceiverSet(t.Protocol):
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


class OsIpcOneShotServer(t.Protocol):
    """A name at which one client can connect, once."""

    name: str

    def accept(self, timeout: float | None) -> tuple[OsIpcReceiver, Payload, Sequence[Attachment]]:
        """Wait for the client and its first message; return the receiver and that message.

        Raises Empty when `timeout` passes (accept may be called again), Disconnected when the
        client left without a message, ClosedError after `close` or a client was accepted.
        """

    def close(self) -> None:
        """Give up the name. A client that has connected finds its channel broken."""


class OsIpcSharedMemory(t.Protocol):
    """A region of memory that travels by reference."""

    kind: t.ClassVar[Kind] = Kind.SHARED_MEMORY

    @property
    def buffer(self) -> memoryview:
        """The bytes, writable, shared with every holder. Stays valid after `close`."""

    def __len__(self) -> int: ...

    def clone(self) -> t.Self:
        """Return another handle on the same memory."""

    def close(self) -> None:
        """Release this handle; the memory lives until the last handle and view are gone."""


Attachment = OsIpcSender | OsIpcReceiver | OsIpcSharedMemory

Payload = Buffer | PeerMemory
