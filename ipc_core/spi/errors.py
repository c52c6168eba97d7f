"""Every error of this library, told apart by whose doing it was."""

from __future__ import annotations

import queue


class IpcError(Exception):
    """The root of all errors raised here."""


class Disconnected(IpcError, EOFError):
    """Every sender is gone and the queue is empty."""


class Empty(IpcError, queue.Empty):
    """Nothing has arrived yet."""


class Full(IpcError, queue.Full):
    """A bounded channel holds as many messages as its capacity."""


class IpcIOError(IpcError, OSError):
    """The operating system refused; `errno` says why, `__cause__` keeps its own error."""


class BrokenChannelError(IpcIOError, BrokenPipeError):
    """A send found no receiver left."""


class SerDeError(IpcError):
    """An object and its bytes could not be turned into each other."""


class EncodeError(SerDeError):
    """Your object cannot be encoded; nothing was sent. `__cause__` is the failure."""


class DecodeError(SerDeError):
    """The peer's bytes are not a message; the channel stays usable."""


class ClosedError(IpcError, ValueError):
    """You closed it."""


class MovedError(ClosedError):
    """You gave it away: sent it, added it to a set, or took it out of its message."""


class ForeignHandleError(IpcError, TypeError):
    """This backend cannot carry that attachment."""


class NotSupportedError(IpcError):
    """The backend, the platform or a missing package cannot do this; the text says which."""


class NoBackendError(IpcError, RuntimeError):
    """No backend can be used; the text says how to get one, and why others were rejected."""
