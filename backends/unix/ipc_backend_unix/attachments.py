"""Endpoints and regions become descriptors in a frame, and come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipc_backend_unix.descriptors import close_fds
from ipc_backend_unix.wire import MOST_ATTACHMENTS, Entry, Frame
from ipc_core.spi import Attachment, DecodeError, ForeignHandleError, IpcError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self


class Lent:
    """The attachments of one message, pinned while it is sent.

    A handle's `_lend()` returns the number for its entry, its descriptors, and the function that
    ends the loan, which is told whether the message was sent: whether the block raised nothing.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.entries: list[Entry] = []
        self.fds: list[int] = []
        self._attachments = attachments
        self._loans: list[tuple[int, list[int], Callable[[bool], object]]] = []

    def __enter__(self) -> Self:
        if len(self._attachments) > MOST_ATTACHMENTS:
            raise IpcError(f"a message carries at most {MOST_ATTACHMENTS} attachments")
        try:
            for handle in self._attachments:
                lend = getattr(handle, "_lend", None)
                if lend is None:
                    raise ForeignHandleError(
                        f"the unix backend cannot carry a {type(handle).__name__}"
                    )
                self._loans.append(lend())  # at once, so that an interrupt finds it
                number, fds, _ = self._loans[-1]
                self.entries.append((handle.kind, len(fds), number))
                self.fds += fds
            return self
        except BaseException:
            self._give_back(sent=False)
            raise

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._give_back(sent=kind is None)

    def _give_back(self, sent: bool) -> None:
        for _, _, give_back in self._loans:
            give_back(sent)


NOTHING_LENT = Lent(())

# How to make a handle of each kind from its descriptors and its number.
_MAKERS: dict[int, Callable[[list[int], int], Attachment]] = {}


def makes(kind: Kind) -> Callable[[Any], Any]:
    """Declare the function that turns (descriptors, number) into a handle of `kind`.

    It raises DecodeError for descriptors that do not fit, and then has closed them.
    """

    def declare(make: Callable[[list[int], int], Attachment]) -> Any:
        _MAKERS[kind] = make
        return make

    return declare


def unpack(parsed: Frame, fds: list[int]) -> list[Attachment]:
    """Make handles of a frame's attachments from its descriptors; if one fails, none is leaked.

    Raises DecodeError when they do not fit together.
    """
    made: list[Attachment] = []
    start = 0
    try:
        if parsed.descriptors != len(fds):
            raise DecodeError(f"a frame came with {len(fds)} descriptors, not what it announces")
        for kind, count, number in parsed.entries:
            make = _MAKERS.get(kind)
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
