"""Endpoints and regions become entries in a record, and come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ipc_backend_windows import win32
from ipc_backend_windows.relocation import relocate
from ipc_backend_windows.section import View
from ipc_backend_windows.wire import PAYLOAD_ENTRY, Entry
from ipc_core.spi import Attachment, DecodeError, ForeignHandleError, Kind

if TYPE_CHECKING:
    from typing_extensions import Self

    from ipc_backend_windows.kernel_handles import Process
    from ipc_backend_windows.queue_memory import QueueMemory
    from ipc_backend_windows.relocation import Relocation


class Lent:
    """The attachments of one message, pinned while it is sent.

    A handle's `_lend()` returns its entry and the function that ends the loan, which is told
    whether the message was sent: whether the block raised nothing. A receiver's queue is moved to
    the process that the message goes to before the message is.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.entries: list[Entry] = []
        self._attachments = attachments
        self._loans: list[tuple[Entry, QueueMemory | None, Callable[[bool], object]]] = []
        self._relocations: list[Relocation] = []
        self._kept = False

    def __enter__(self) -> Self:
        try:
            for handle in self._attachments:
                lend = getattr(handle, "_lend", None)
                if lend is None:
                    handle.kind  # noqa: B018  what the core puts for a closed handle raises
                    raise ForeignHandleError(
                        f"the windows backend cannot carry a {type(handle).__name__}"
                    )
                self._loans.append(lend())
                self.entries.append(self._loans[-1][0])
            return self
        except BaseException:
            self._give_back(sent=False)
            raise

    def can_never_arrive(self, queue: QueueMemory) -> bool:
        """Whether `queue`, to which this is sent, is inside that of a receiver among them, so that
        after this nobody could receive from either."""
        return any(moving is not None and queue.is_within(moving) for _, moving, _ in self._loans)

    def enter(self, queue: QueueMemory) -> None:
        """Note where the receivers are, before they are there."""
        for _, moving, _ in self._loans:
            if moving is not None:
                moving.container = queue.identity

    def keep(self) -> None:
        """End the loan as if nothing had been sent."""
        self._kept = True

    def head_for(self, target: Process) -> None:
        """Move the queues of receivers to `target`. Raises OSError; then none has moved."""
        self._return()
        for _, queue, _ in self._loans:
            if queue is not None:
                self._relocations.append(relocate(queue, target))

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._give_back(sent=kind is None and not self._kept)

    def _return(self) -> None:
        while self._relocations:
            self._relocations.pop().roll_back()

    def _give_back(self, sent: bool) -> None:
        if sent:
            for relocation in self._relocations:
                relocation.commit()
        else:
            self._return()
        for _, _, give_back in self._loans:
            give_back(sent)


# How to make a handle of each kind from its entry, whose handles it takes over.
_MAKERS: dict[int, Callable[[Entry], Attachment]] = {}


def makes(kind: Kind) -> Callable[[Any], Any]:
    """Declare the function that turns an entry into a handle of `kind`.

    It raises OSError for handles that do not fit, and then has closed them.
    """

    def declare(make: Callable[[Entry], Attachment]) -> Any:
        _MAKERS[kind] = make
        return make

    return declare


def unpack(data: bytes, entries: Sequence[Entry]) -> tuple[bytes, list[Attachment]]:
    """The payload and attachments of a record whose handles are in this process.

    Raises DecodeError when they do not fit together; then none of the handles is left.
    """
    made: list[Attachment] = []
    left = list(entries)
    try:
        while left:
            entry = left[0]
            if entry.kind == PAYLOAD_ENTRY:
                data = _payload(entry)
                win32.CloseHandle(left.pop(0).first)
                continue
            make = _MAKERS.get(entry.kind)
            if make is None:
                raise DecodeError(f"attachments of kind {entry.kind} are not known here")
            del left[0]
            made.append(make(entry))
        return data, made
    except BaseException as error:
        for entry in left:
            discard(entry)
        for handle in made:
            handle.close()
        if isinstance(error, OSError) and not isinstance(error, DecodeError):
            raise DecodeError(f"an attachment is not what it is called: {error}") from error
        raise


def _payload(entry: Entry) -> bytes:
    view = View(entry.first, entry.number)
    try:
        return bytes(view.bytes)
    finally:
        view.close()


def discard(entry: Entry) -> None:
    """Close the handles of an entry."""
    for handle in (entry.first, entry.second):
        if handle:
            win32.CloseHandle(handle)
