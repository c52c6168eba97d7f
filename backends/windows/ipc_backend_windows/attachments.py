"""Endpoints and regions become entries in a record, and come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ipc_backend_windows import win32
from ipc_backend_windows.kernel_handles import Process
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.relocation import Relocation, relocate
from ipc_backend_windows.section import View
from ipc_backend_windows.wire import PAYLOAD_ENTRY, Entry
from ipc_core.spi import Attachment, DecodeError, ForeignHandleError, Kind

if TYPE_CHECKING:
    from typing_extensions import Self


class Lendable:
    """A handle of this backend, which a message can carry."""

    kind: ClassVar[Kind]

    def lend(self) -> tuple[Entry, QueueMemory | None, Callable[[bool], object]]:
        """Keep the kernel handles open, and a receiver from being used, until the loan ends.

        Returns the entry for the message, with handles of this process; for a receiver, its queue,
        which moves with it; and the function that ends the loan, to be called with whether the
        message was sent. Raises ClosedError after `close`, IpcError for a receiver that is in use
        or lent.
        """
        raise NotImplementedError


class Loan:
    """The attachments of one message, lent for the time of a `with` block that sends it.

    If the block raises, every handle is as before. Otherwise its receivers have moved, each with
    its queue: `head_for` takes the queues to the process that the message goes to before the
    message is appended there, and leaving the block either closes the old kernel handles or
    returns to them.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.entries: list[Entry] = []
        self._attachments = attachments
        self._lent: list[tuple[Entry, QueueMemory | None, Callable[[bool], object]]] = []
        self._relocations: list[Relocation] = []
        self._kept = False

    def __enter__(self) -> Self:
        try:
            for handle in self._attachments:
                if not isinstance(handle, Lendable):
                    handle.kind  # noqa: B018  what the core puts for a closed handle raises
                    raise ForeignHandleError(
                        f"the windows backend cannot carry a {type(handle).__name__}"
                    )
                self._lent.append(handle.lend())  # at once, so that an interrupt finds it
                self.entries.append(self._lent[-1][0])
            return self
        except BaseException:
            self._give_back(sent=False)
            raise

    def can_never_arrive(self, queue: QueueMemory) -> bool:
        """Whether `queue`, to which this is sent, is inside that of a receiver among them, so that
        after this nobody could receive from either."""
        return any(moving is not None and queue.is_within(moving) for _, moving, _ in self._lent)

    def enter(self, queue: QueueMemory) -> None:
        """Note where the receivers are, before they are there."""
        for _, moving, _ in self._lent:
            if moving is not None:
                moving.container = queue.identity

    def keep(self) -> None:
        """End the loan as if nothing had been sent."""
        self._kept = True

    def head_for(self, target: Process) -> None:
        """Move the queues of receivers to `target`. Raises OSError; then none has moved."""
        self._return()
        for _, queue, _ in self._lent:
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
        for _, _, give_back in self._lent:
            give_back(sent)


Makers = Mapping[int, Callable[[Entry], Attachment]]
"""The function for each kind that makes a handle of its entry. It takes over the kernel handles,
also when it raises OSError because they do not fit."""


def unpack(data: bytes, entries: Sequence[Entry], makers: Makers) -> tuple[bytes, list[Attachment]]:
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
            make = makers.get(entry.kind)
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
