"""A transport, as the core sees it, and how its plugin is found."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

import ipc_core._typing as t
from ipc_core.spi.errors import NotSupportedError
from ipc_core.spi.handles import (
    Attachment,
    Buffer,
    OsIpcOneShotServer,
    OsIpcReceiver,
    OsIpcReceiverSet,
    OsIpcSender,
    OsIpcSharedMemory,
)

SPI_VERSION = 1
HOOK = "ipc_core_backend"
PROJECT = "ipc_core"
BACKENDS_GROUP = "ipc_core.backends"


class Capability(enum.Flag):
    """The abilities of a backend. Tests and programs ask for these, never for a backend's name."""

    CROSS_PROCESS = enum.auto()
    """Endpoints work in other processes; one-shot names can be handed to a child."""
    UNBOUNDED = enum.auto()
    """`send` never waits for the receiver."""
    BOUNDED = enum.auto()
    """`channel(capacity)` makes bounded channels."""
    OUTLIVES_SENDER = enum.auto()
    """Accepted messages are delivered even if the sending process is killed."""
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


Finding = tuple[str, str, str | None]
"""A limit, its value on this machine, and a hint, None where it is high enough."""


class Backend:
    """A transport. Derive from it, so that methods added later have a default.

    `size_hints` are payload sizes in bytes at which the backend changes its method; the
    conformance kit tests around each. `remark` is a warning to print beside its name, in a few
    words, for `ipc-core backends`.
    """

    spi_version: t.ClassVar[int] = SPI_VERSION
    name: t.ClassVar[str]
    capabilities: t.ClassVar[Capability]
    size_hints: t.ClassVar[tuple[int, ...]] = ()
    remark: t.ClassVar[str | None] = None

    def unavailable_reason(self) -> str | None:
        """Return why this backend cannot work here, a sentence; None if it can. Never raises."""
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

    def filled_memory(self, chunks: Iterable[Buffer], size: int) -> OsIpcSharedMemory:
        """Make a region of `size` bytes, which the chunks hold together. A chunk is borrowed until
        the next one is asked for, and may be the same memory again. Its exceptions pass through.
        """
        region = self.shared_memory(size)
        try:
            view, start = region.buffer, 0
            for chunk in chunks:
                view[start : start + len(chunk)] = chunk
                start += len(chunk)
        except BaseException:
            region.close()
            raise
        return region

    def for_child(self, handle: Attachment) -> object:
        """Return an inheritable handle: an object to pickle while multiprocessing starts a child,
        which `from_parent` there turns into a second handle. This one stays as it is."""
        raise self._lacks("way into another process")

    def from_parent(self, inheritable: t.Any) -> Attachment:
        """Return the handle for an inheritable one that `for_child` returned in the parent."""
        raise self._lacks("way into another process")

    def checkup(self) -> Iterable[Finding]:
        """Return the limits of this machine that matter to this backend, for `ipc-core doctor`."""
        return ()

    def _lacks(self, ability: str) -> NotSupportedError:
        return NotSupportedError(f"the {self.name} backend has no {ability}")


_Hook = t.TypeVar("_Hook", bound=Callable[[], Backend])


def hookimpl(function: _Hook) -> _Hook:
    """Mark a plugin's `ipc_core_backend`, as `pluggy.HookimplMarker("ipc_core")` would.

    Needed because importing pluggy doubles the start-up time of a child; either marker works.
    """
    options = dict.fromkeys(
        ("wrapper", "hookwrapper", "optionalhook", "tryfirst", "trylast"), False
    )
    function.ipc_core_impl = options | {"specname": None}  # type: ignore[attr-defined]
    return function
