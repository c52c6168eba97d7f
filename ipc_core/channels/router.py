"""Callbacks for the messages of many receivers, called in a thread or step by step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from queue import Queue

import ipc_core._typing as t
from ipc_core.channels.receiver_set import AnyReceiver
from ipc_core.channels.router_loop import Route, RouterLoop
from ipc_core.spi.concurrency import mend_after_fork
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import Disconnected

_EXIT_SECONDS = 0.5
"""The longest wait for a running callback when a router is dropped, or the process ends."""


class Router:
    """A caller of functions, one for each receiver, with every message that arrives there.

    One thread, started with the first route, serves all routes; callbacks run in it, one at a
    time. A callback that raises, or a message that does not decode, is reported to
    `threading.excepthook`; the route goes on with the next message. Callbacks may use the router,
    also to shut it down. Dropping the router shuts it down.

    A `Router(threaded=False)` has no thread: its callbacks run inside `step`, in the caller's
    thread. WebAssembly, which has no threads, has only such routers.

    A child made by `os.fork` has the router without its routes: they stay with the parent, and
    their functions are neither called nor dropped in the child.
    """

    def __init__(self, *, threaded: bool = True) -> None:
        self._threaded = threaded
        self._renew()
        mend_after_fork(self, last=True)

    def after_fork(self) -> None:
        self._finalizer.detach()
        self._loop.leave_to_parent()
        self._renew()

    def _renew(self) -> None:
        self._loop = RouterLoop(self._threaded)
        self._finalizer = weakref.finalize(self, self._loop.stop, _EXIT_SECONDS)

    def add_route(
        self,
        receiver: AnyReceiver,
        callback: Callable[[t.Any], object],
        on_close: Callable[[], object] | None = None,
    ) -> int:
        """Move a receiver here, call `callback(message)` for each message, return the route's id.

        `on_close()` is called once, after the last message, when every sender is gone or the
        router shuts down. Then both functions are dropped. After `shutdown` the receiver is
        closed at once.

        Raises NotSupportedError, and leaves the receiver to the caller, if the router needs a
        thread and the platform has none.
        """
        return self._loop.add(receiver, Route(callback, on_close))

    def add_one_shot_route(self, receiver: AnyReceiver, callback: Callable[[t.Any], object]) -> int:
        """Add a route for the first message only; later ones are discarded. See `add_route`."""
        return self._loop.add(receiver, Route(callback, None, once=True))

    def route_to_queue(
        self, receiver: AnyReceiver, queue: Queue[t.Any] | None = None
    ) -> Queue[t.Any]:
        """Put each message into `queue`, or a new `queue.Queue`; return that queue.

        The last item is an instance of Disconnected, put when every sender is gone or the router
        shuts down. A bounded queue that is full holds up the whole router.
        """
        target: Queue[t.Any] = Queue() if queue is None else queue
        self.add_route(
            receiver, target.put, lambda: target.put(Disconnected("the route has ended"))
        )
        return target

    def remove_route(self, id: int) -> AnyReceiver:
        """Give a receiver back, with the messages that have not been handled.

        Its callback is dropped, and may still be running for an earlier message. Raises KeyError
        for a route that has ended.
        """
        return self._loop.remove(id)

    def step(self, timeout: float | None = 0) -> int:
        """Call back for the messages and ends of channels that have arrived; return their number.

        If there are none, wait for at most `timeout` seconds, or with None for ever. 0 is returned
        if none came, or another thread shut the router down. KeyboardInterrupt and SystemExit of a
        callback pass through; the next step serves the remaining messages.

        Raises IpcError if the router has a thread or another `step` runs, ClosedError after
        `shutdown`, NotSupportedError for a wait that could never end.
        """
        return self._loop.step(check_timeout(timeout))

    def shutdown(self) -> None:
        """End every route and the thread. Calling it again does nothing.

        When this returns no callback runs any more, except the one that called it.
        """
        self._loop.stop(None)

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()


ROUTER = Router()
"""The router of the process, shared by all that need no router of their own."""
