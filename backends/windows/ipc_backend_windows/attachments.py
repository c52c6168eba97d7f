"""Attachments of a message: lent as entries by its sender, made into handles by its receiver.

Nothing here knows the classes of handles. They derive from `Lendable`, and `backend.MAKERS` has the
function that makes each kind.
"""

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

        Returns the entry for the message, with kernel handles of this process; for a receiver, its
        queue, which moves with it; and the function that ends the loan, to be called with whether
        the message was sent. Raises ClosedError after `close`, IpcError for a receiver that is in
        use or lent.
        """
        raise NotImplementedError


class Loan:
    """The attachments of one message, lent for the time of a `with` block that sends it.

    If the block raises, every handle is as before. Otherwise the receivers have moved. A receiver's
    queue moves before the message is appended, by `move_queues_to`; until the block ends, its
    kernel handles are in the tables of both processes, and the end closes those of one side.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.entries: list[Entry] = []
        self._attachments = attachments
        self._lent: list[tuple[Entry, QueueMemory | None, Callable[[bool], object]]] = []
        self._relocations: list[Relocation] = []
        self._cancelled = False

    def __enter__(self) -> Self:
        try:
            for handle in self._attachments:
                if not isinstance(handle, Lendable):
                    raise ForeignHandleError(
                        f"the windows backend cannot carry a {type(handle).__name__}"
                    )
                self._lent.append(handle.lend())  # at once, so that an interrupt finds it
                self.entries.append(self._lent[-1][0])
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, error: type[BaseException] | None, *exc_info: object) -> None:
        sent = error is None and not self._cancelled
        if sent:
            for relocation in self._relocations:
                relocation.commit()
        else:
            self._roll_back()
        for _, _, end in self._lent:
            end(sent)

    def closes_cycle(self, queue: QueueMemory) -> bool:
        """Return whether `queue`, to which this is sent, is inside that of a receiver among these.

        Both queues would then be inside each other, and nobody could receive from either.
        """
        return any(moving is not None and queue.is_within(moving) for _, moving, _ in self._lent)

    def note_container(self, queue: QueueMemory) -> None:
        """Note in each receiver's memory that it is in `queue`, before it is there."""
        for _, moving, _ in self._lent:
            if moving is not None:
                moving.container = queue.identity

    def move_queues_to(self, target: Process) -> None:
        """Move the receivers' queues to `target`, back from any process that they moved to before.

        Raises OSError; the end of the block then moves every queue back.
        """
        self._roll_back()
        for _, queue, _ in self._lent:
            if queue is not None:
                self._relocations.append(relocate(queue, target))

    def cancel(self) -> None:
        """Have the loan end as if nothing had been sent, also if the block does not raise."""
        self._cancelled = True

    def _roll_back(self) -> None:
        while self._relocations:
            self._relocations.pop().roll_back()


Makers = Mapping[int, Callable[[Entry], Attachment]]
"""The function for each kind that makes a handle of its entry. It takes over the kernel handles,
also when it raises OSError because they do not fit."""


def unpack(data: bytes, entries: Sequence[Entry], makers: Makers) -> tuple[bytes, list[Attachment]]:
    """Return the payload and the attachments of a record, whose kernel handles are this process's.

    Takes over the kernel handles. Raises DecodeError if they do not fit their entries; every one of
    them is closed then.
    """
    made: list[Attachment] = []
    left = list(entries)  # the kernel handles of these are still to be closed on an error
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
            raise DecodeError(f"an attachment does not fit its kind: {error}") from error
        raise


def _payload(entry: Entry) -> bytes:
    view = View(entry.first, entry.number)
    try:
        return bytes(view.bytes)
    finally:
        view.close()


def discard(entry: Entry) -> None:
    """Close the kernel handles of an entry."""
    for handle in (entry.first, entry.second):
        if handle:
            win32.CloseHandle(handle)
