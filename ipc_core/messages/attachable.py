"""The owner of one handle, until it is closed or moved: an endpoint or a region."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from copyreg import __newobj__  # type: ignore[attr-defined]

import ipc_core._typing as t
from ipc_core.messages.transfer import claim, register
from ipc_core.spi import Backend, Kind
from ipc_core.spi.errors import ClosedError


class Gone:
    """A stand-in for a handle that was closed or moved. Any use of it raises.

    So the paths of a message need no check of their own. It never reaches a backend.
    """

    def __init__(self, error: type[ClosedError], text: str) -> None:
        self._error = error
        self._text = text

    def error(self) -> ClosedError:
        """Return the error that says how the handle went."""
        return self._error(self._text)

    def __getattr__(self, name: str) -> t.Any:
        raise self._error(self._text)

    def close(self) -> None:
        """Do nothing: the handle is closed or another's."""

    def __str__(self) -> str:
        return self._text


class Attachable:
    """Base of senders, receivers and shared memory."""

    __slots__ = ("__weakref__", "_backend", "_handle", "_origin")
    _kind: t.ClassVar[Kind]
    _handle: t.Any

    def __init__(self, handle: t.Any, backend: Backend) -> None:
        self._origin = _caller() if sys.flags.dev_mode else ""
        self._backend = backend
        self._handle = handle  # last: an object that has one is whole

    def close(self) -> None:
        """Release it. Closing twice does nothing; any later use raises ClosedError."""
        try:
            handle = self._retire(ClosedError, "is closed")
        except ClosedError:
            return  # closed or moved already, perhaps by another thread just now
        handle.close()

    def _owned(self) -> t.Any:
        """Return the handle. Raises ClosedError or MovedError if it is gone."""
        handle = self._handle
        if type(handle) is Gone:
            raise handle.error()
        return handle

    def _retire(self, error: type[ClosedError], how: str) -> t.Any:
        """Give up the handle and return it."""
        handle = self._owned()
        self._handle = Gone(error, f"this {type(self).__name__} {how}")
        return handle

    def _sent(self) -> None:
        """Note that the message that carries this object was accepted."""

    def _details(self) -> tuple[t.Any, ...]:
        """Return the constructor's arguments after handle and backend, if not the defaults."""
        return ()

    def _like(self, handle: t.Any) -> t.Self:
        """Return another object like this one, for a handle of the same kind."""
        return type(self)(handle, self._backend, *self._details())

    def __reduce__(self) -> tuple[t.Any, ...]:
        handle = self._owned()
        slot = register(self, handle)
        details = self._details()
        if slot is None:
            from ipc_core.messages.spawning import hand_over

            return hand_over(type(self), handle, self._backend, details)
        return __newobj__, (type(self),), (slot, *details) if details else slot

    def __setstate__(self, state: int | tuple[t.Any, ...]) -> None:
        """Become the endpoint or region in a slot of the message that is being decoded."""
        slot, *details = state if isinstance(state, tuple) else (state,)
        handle, backend = claim(slot, self._kind, self)
        self.__init__(handle, backend, *details)  # type: ignore[misc]

    def __enter__(self) -> t.Self:
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
    """Return the file and line, outside this library, that made an endpoint."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__package__") in _OURS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
