"""What can travel in a message: the owner of one OS handle, until it is closed or given away."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from copyreg import __newobj__  # type: ignore[attr-defined]

from ipc_core.messages.message import attach, take
from ipc_core.spi import Backend, Kind
from ipc_core.spi.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from typing_extensions import Self


class Gone:
    """Takes the place of a handle that was closed or given away: any use of it raises.

    So the paths of a message need no check of their own.
    """

    def __init__(self, error: type[ClosedError], text: str) -> None:
        self._error = error
        self._text = text

    def __getattr__(self, name: str) -> Any:
        raise self._error(self._text)

    def close(self) -> None:
        """There is nothing left to close."""

    def __str__(self) -> str:
        return self._text


class Attachable:
    """Base of senders, receivers and shared memory."""

    __slots__ = ("__weakref__", "_backend", "_handle", "_origin")
    _kind: ClassVar[Kind]
    _handle: Any

    def __init__(self, handle: Any, backend: Backend) -> None:
        self._origin = _caller() if sys.flags.dev_mode else ""
        self._backend = backend
        self._handle = handle  # last: whoever has one is whole

    def close(self) -> None:
        """Release it. Closing twice does nothing; any later use raises ClosedError."""
        if type(self._handle) is not Gone:
            try:
                handle = self._retire(ClosedError, "is closed")
            except ClosedError:
                return  # another thread closed or sent it just now
            handle.close()

    def _owned(self) -> Any:
        """Return the handle. Raises ClosedError or MovedError if there is none any more."""
        self._handle.kind  # noqa: B018  a stand-in raises
        return self._handle

    def _retire(self, error: type[ClosedError], how: str) -> Any:
        """Give up the handle and return it."""
        handle = self._owned()
        self._handle = Gone(error, f"this {type(self).__name__} {how}")
        return handle

    def _sent(self) -> None:
        """The message that carries this object was accepted."""

    def _details(self) -> tuple[Any, ...]:
        """What the constructor takes after the handle and the backend, where that matters."""
        return ()

    def _like(self, handle: Any) -> Self:
        """Another object like this one, for a handle of the same kind."""
        return type(self)(handle, self._backend, *self._details())

    def __reduce__(self) -> tuple[Any, ...]:
        self._owned()
        slot = attach(self)
        if slot is None:
            from ipc_core.messages.spawning import hand_over

            return hand_over(self)
        details = self._details()
        return __newobj__, (type(self),), (slot, *details) if details else slot

    def __setstate__(self, state: int | tuple[Any, ...]) -> None:
        if isinstance(state, tuple):
            self._redeem(*state)
        else:
            self._redeem(state)

    def _redeem(self, slot: int, *details: Any) -> None:
        """Become what a slot of the message that is being decoded refers to."""
        handle, backend = take(slot, self._kind, self)
        self.__init__(handle, backend, *details)  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        handle = getattr(self, "_handle", None)
        if handle is None:
            return
        handle.close()  # first: the warning may be made an error
        if self._origin and not is_finalizing() and type(handle) is not Gone:
            warnings.warn(f"unclosed {self!r}, made at {self._origin}", ResourceWarning, 2, self)

    def __repr__(self) -> str:
        state = f" ({self._handle})" if type(self._handle) is Gone else ""
        return f"<{type(self).__name__} on {self._backend.name}{state}>"


_OURS = {"ipc_core", "ipc_core.channels", "ipc_core.codecs", "ipc_core.messages"}


def _caller() -> str:
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__package__") in _OURS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
