"""A thread that waits for many receivers and calls back."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import Queue
from typing import TYPE_CHECKING, Any

from ipc_core.errors import Disconnected
from ipc_core.forking import BriefLock, mend_after_fork
from ipc_core.receiver_set import AnyReceiver, ChannelClosed, IpcReceiverSet, IpcSelectionResult

if TYPE_CHECKING:
    from typing_extensions import Self

_EXIT_SECONDS = 0.5


class Router:
    """Calls a function for each message that arrives at a receiver.

    One thread, started with the first route, serves all routes; callbacks run in it, one at a
    time. A callback that raises, or a message that does not decode, is reported to
    `threading.excepthook`; the route goes on with the next message. Callbacks may use the router,
    also to shut it down. Dropping the router shuts it down.

    A child made by `os.fork` has the router without its routes: they stay with the parent, and
    their functions are neither called nor dropped in the child.
    """

    def __init__(self) -> None:
        self._renew()
        mend_after_fork(self, last=True)

    def after_fork(self) -> None:
        self._finalizer.detach()
        self._loop.leave_to_parent()
        self._renew()

    def _renew(self) -> None:
        self._loop = _Loop()
        self._finalizer = weakref.finalize(self, self._loop.stop, _EXIT_SECONDS)

    def add_route(
        self,
        receiver: AnyReceiver,
        callback: Callable[[Any], object],
        on_close: Callable[[], object] | None = None,
    ) -> int:
        """Move a receiver here and call `callback(message)` for each message; return the route's
        id.

        `on_close()` is called once, after the last message, when every sender is gone or the
        router shuts down. Then both functions are dropped. After `shutdown` the receiver is
        closed at once.
        """
        return self._loop.add(receiver, _Route(callback, on_close))

    def add_one_shot_route(self, receiver: AnyReceiver, callback: Callable[[Any], object]) -> int:
        """Like `add_route`, but for the first message only; later ones are discarded."""
        return self._loop.add(receiver, _Route(callback, None, once=True))

    def route_to_queue(self, receiver: AnyReceiver, queue: Queue[Any] | None = None) -> Queue[Any]:
        """Put each message into `queue`, or a new `queue.Queue`; return that queue.

        The last thing put is an instance of Disconnected, when every sender is gone or the
        router shuts down. A bounded queue that is full holds up the whole router.
        """
        target: Queue[Any] = Queue() if queue is None else queue
        self.add_route(
            receiver, target.put, lambda: target.put(Disconnected("the route has ended"))
        )
        return target

    def remove_route(self, id: int) -> AnyReceiver:
        """Give a receiver back, with what has not been handled. Its callback is dropped; it may
        still be running for an earlier message. Raises KeyError for a route that has ended."""
        return self._loop.remove(id)

    def shutdown(self) -> None:
        """End every route and the thread. When this returns no callback runs any more, except
        the one that called it. Calling it again does nothing."""
        self._loop.stop(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()


class _Route:
    """What to call; empty once it has ended, so that nothing keeps the functions alive."""

    def __init__(
        self,
        callback: Callable[[Any], object],
        on_close: Callable[[], object] | None,
        once: bool = False,
    ) -> None:
        self.callback: Callable[[Any], object] | None = callback
        self.on_close = on_close
        self.once = once

    def message(self, message: Any) -> None:
        callback = self.callback
        if callback is None:
            message.close()
            return
        if self.once:
            self.callback = None
        _reporting(lambda: callback(message.to()))

    def end(self) -> None:
        on_close, self.callback, self.on_close = self.on_close, None, None
        if on_close is not None:
            _reporting(on_close)


class _Loop:
    """The thread's own state; it holds no reference to the Router, which may be dropped."""

    def __init__(self) -> None:
        self._set = IpcReceiverSet()
        self._routes: dict[int, _Route] = {}
        self._lock = BriefLock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, receiver: AnyReceiver, route: _Route) -> int:
        with self._lock:
            if not self._stopped:
                id = self._set.add(receiver)
                self._routes[id] = route
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="ipc-core router", daemon=True
                    )
                    self._thread.start()
                return id
        receiver.close()
        route.end()
        return -1

    def remove(self, id: int) -> AnyReceiver:
        with self._lock:
            del self._routes[id]
            return self._set.remove(id)

    def stop(self, timeout: float | None) -> None:
        with self._lock:
            self._stopped = True
            thread = self._thread
        if thread is None:
            self._end_all()
            return
        self._set.wake()
        if thread is not threading.current_thread():
            thread.join(timeout)

    def leave_to_parent(self) -> None:
        _left_to_parent.append(self._routes)
        self._routes = {}
        self._set.close()

    def _run(self) -> None:
        try:
            while not self._stopped:
                for result in self._set.wait():
                    if not self._stopped:
                        self._handle(result)
                    del result
        finally:
            self._end_all()

    def _handle(self, result: IpcSelectionResult) -> None:
        with self._lock:
            route = self._routes.get(result.id)
            if isinstance(result, ChannelClosed):
                self._routes.pop(result.id, None)
        if route is None:
            return
        if isinstance(result, ChannelClosed):
            route.end()
        else:
            route.message(result.message)

    def _end_all(self) -> None:
        self._set.close()
        with self._lock:
            routes, self._routes = self._routes, {}
        for route in routes.values():
            route.end()


_left_to_parent: list[dict[int, _Route]] = []
"""Keeps functions whose destructors are the parent's business."""


def _reporting(call: Callable[[], object]) -> None:
    """Call; whatever it raises is told to `threading.excepthook` and goes no further."""
    try:
        call()
    except BaseException as error:
        report = (type(error), error, error.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(report))


ROUTER = Router()
"""The process's own router."""
