"""Receivers under async: one stream for asyncio and trio, without helper threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import ipc_core._typing as t
from ipc_core.spi.errors import Disconnected, Empty, NotSupportedError

try:
    import anyio
    from anyio import lowlevel
except ImportError as error:
    raise NotSupportedError("streams need anyio; try: pip install 'ipc-core[async]'") from error

T_co = TypeVar("T_co", covariant=True)

_TURN = 64
"""The most messages returned without a wait before other tasks get their turn."""


class Source(Protocol[T_co]):
    """The receiver of a stream, as far as a stream uses it."""

    _handle: t.Any

    def try_recv(self) -> T_co: ...

    def fileno(self) -> int | None: ...

    def close(self) -> None: ...


class IpcStream(Generic[T_co]):
    """An async iterator over the messages of a receiver, which it owns.

    A message is taken in the same step in which it is returned, so cancelling an `await` at any
    point loses none. The iteration ends when the channel is disconnected, and stays ended. A
    message that does not decode raises DecodeError, and the next one can be received after it.
    """

    def __init__(self, receiver: Source[T_co]) -> None:
        self._receiver = receiver
        self._in_turn = 0

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> T_co:
        try:
            return await self.recv()
        except Disconnected:
            raise StopAsyncIteration from None

    async def recv(self) -> T_co:
        """Wait for a message. Raises the same errors as `IpcReceiver.recv`."""
        self._in_turn += 1
        if self._in_turn >= _TURN:
            await lowlevel.checkpoint()
        else:
            await lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                return self._receiver.try_recv()
            except Empty:
                self._in_turn = 0
                await self._ready()

    async def _ready(self) -> None:
        """Wait until the receiver may have a message."""
        descriptor = self._receiver.fileno()
        if descriptor is not None:
            await anyio.wait_readable(descriptor)
            return
        event = anyio.Event()
        wake = _waker()
        cancel = self._receiver._handle.when_ready(lambda: wake(event.set))
        try:
            await event.wait()
        finally:
            cancel()

    def close(self) -> None:
        """Close the receiver; senders find the channel broken. Closing twice does nothing."""
        self._receiver.close()

    async def aclose(self) -> None:
        """See `close`."""
        self.close()

    async def __aenter__(self) -> t.Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


def _waker() -> Callable[[Callable[[], object]], t.Any]:
    """Return a function that, in any thread, has the running event loop call its argument."""
    token: t.Any = lowlevel.current_token().native_token
    wake: t.Any = getattr(token, "call_soon_threadsafe", None) or token.run_sync_soon
    return wake  # type: ignore[no-any-return]
