"""Endpoints and regions in a message: lent as descriptors, and made of descriptors again.

Nothing here knows the classes of handles. They derive from `Lendable`, and `backend.MAKERS` says
how to make each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ipc_backend_unix.descriptors import close_fds
from ipc_backend_unix.wire import MOST_ATTACHMENTS, Entry, Frame
from ipc_core.spi import Attachment, DecodeError, ForeignHandleError, IpcError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from typing_extensions import Self


class Lendable:
    """A handle of this backend, which a message can carry."""

    kind: ClassVar[Kind]

    def lend(self) -> tuple[int, list[int], Callable[[bool], object]]:
        """Keep the descriptors open, and a receiver from being used, until the loan ends.

        Returns the number for the entry in the frame, the descriptors, and the function that ends
        the loan; its argument is whether the message was sent. Raises ClosedError after `close`,
        IpcError for a receiver that is in use or lent.
        """
        raise NotImplementedError


class Loan:
    """The attachments of one message, lent for the time of a `with` block that sends it.

    If the block raises, every handle is as before; else its receivers have moved.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.entries: list[Entry] = []
        self.fds: list[int] = []
        self._attachments = attachments
        self._lent: list[tuple[int, list[int], Callable[[bool], object]]] = []

    def __enter__(self) -> Self:
        if len(self._attachments) > MOST_ATTACHMENTS:
            raise IpcError(f"a message carries at most {MOST_ATTACHMENTS} attachments")
        try:
            for handle in self._attachments:
                if not isinstance(handle, Lendable):
                    raise ForeignHandleError(
                        f"the unix backend cannot carry a {type(handle).__name__}"
                    )
                self._lent.append(handle.lend())  # at once, so that an interrupt finds it
                number, fds, _ = self._lent[-1]
                self.entries.append((handle.kind, len(fds), number))
                self.fds += fds
            return self  # in here, so that an interrupt at this line ends the loans too
        except BaseException as error:
            self.__exit__(type(error))
            raise

    def __exit__(self, error: type[BaseException] | None, *exc_info: object) -> None:
        for _, _, end in self._lent:
            end(error is None)


Makers = Mapping[int, Callable[[list[int], int], Attachment]]
"""The function for each kind that makes a handle of its descriptors and its number. It takes over
the descriptors, also when it raises DecodeError because they do not fit."""


def make_handles(frame: Frame, fds: list[int], makers: Makers) -> list[Attachment]:
    """Make the handles of a frame's attachments. Takes over the descriptors, also on errors.

    Raises DecodeError if frame and descriptors do not fit together.
    """
    made: list[Attachment] = []
    start = 0
    try:
        if frame.descriptors != len(fds):
            raise DecodeError(
                f"a frame announces {frame.descriptors} descriptors, and came with {len(fds)}"
            )
        for kind, count, number in frame.entries:
            make = makers.get(kind)
            if make is None:
                raise DecodeError(f"attachments of kind {kind} are not known here")
            mine = fds[start : start + count]
            start += count
            made.append(make(mine, number))
    except BaseException:
        close_fds(fds[start:])
        for handle in made:
            handle.close()
        raise
    return made
