"""Waits for many receivers and calls back, in a thread or step by step."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import Queue

from ipc_core.channels.receiver_set import IpcReceiverSet
from ipc_core.channels.selection import ChannelClosed
from ipc_core.spi.concurrency import THREADS, BriefLock, mend_after_fork
from ipc_core.spi.deadlines import check_timeout
from ipc_core.spi.errors import ClosedError, Disconnected, IpcError, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

    from ipc_core.channels.receiver_set import AnyReceiver
    from ipc_core.channels.selection import IpcSelectionResult

_EXIT_SECONDS = 0.5
_STEP = 64
"""Results that one step serves at most: a callback may send to itself."""


class Router:
    """Calls a function for each message that arrives at a receiver.

    One thread, started with the first route, serves all routes; callbacks run in it, one at a
    time. A callback that raises, or a message that does not decode, is reported to
    `threading.excepthook`; the route goes on with the next message. Callbacks may use the router,
    also to shut it down. Dropping the router shuts it down.

    A `Router(threaded=False)` has no thread: its callbacks run inside `step`, for whoever calls
    that. WebAssembly, which has no threads, has only such routers.

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
        self._loop = _Loop(self._threaded)
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

        Raises NotSupportedError, and leaves you the receiver, if the router needs a thread and the
        platform has none.
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

    def step(self, timeout: float | None = 0) -> int:
        """Call back for what has arrived; return the number of messages and ends that were served.

        While there is nothing, wait for at most `timeout` seconds, or with None for ever. 0 means
        that nothing came, or that another thread shut the router down. KeyboardInterrupt and
        SystemExit of a callback pass through; the next step serves what is left.

        Raises IpcError if the router has a thread or another `step` runs, ClosedError after
        `shutdown`, NotSupportedError for a wait that could never end.
        """
        return self._loop.step(check_timeout(timeout))

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
        callback(message.to())

    def end(self) -> None:
        on_close, self.callback, self.on_close = self.on_close, None, None
        if on_close is not None:
            on_close()


class _Loop:
    """What runs the routes; it holds no reference to the Router, which may be dropped."""

    def __init__(self, threaded: bool) -> None:
        self._threaded = threaded
        self._set = IpcReceiverSet()
        self._routes: dict[int, _Route] = {}
        self._leaving: dict[int, _Route] = {}
        self._lock = BriefLock()
        self._thread: threading.Thread | None = None
        self._turn = threading.RLock()
        self._stepping = False
        self._stopped = False

    def add(self, receiver: AnyReceiver, route: _Route) -> int:
        if self._threaded and not THREADS:
            raise NotSupportedError(
                "this platform has no threads: make a Router(threaded=False) and call its step()"
            )
        with self._lock:
            if not self._stopped:
                if self._threaded and self._thread is None:
                    thread = threading.Thread(target=self._run, name="ipc-core router", daemon=True)
                    thread.start()
                    self._thread = thread
                id = self._set.add(receiver)
                self._routes[id] = route
                return id
        receiver.close()
        _reporting(route.end)
        return -1

    def remove(self, id: int) -> AnyReceiver:
        with self._lock:
            if id not in self._routes:
                raise KeyError(id)
            receiver = self._set.remove(id)  # not if the end of its channel is just being told
            route = self._routes.pop(id)
            if self._thread or self._stepping:
                self._leaving[id] = route  # for a message that was taken before
            return receiver

    def step(self, timeout: float | None) -> int:
        if self._threaded:
            raise IpcError("this router has a thread; step() is for a Router(threaded=False)")
        if not self._turn.acquire(blocking=False):
            raise IpcError("another thread is in step()")
        try:
            if self._stopped:
                raise ClosedError("this router is shut down")
            if self._stepping:
                raise IpcError("a callback cannot call step(), which called it")
            self._stepping = True
            try:
                return self._step_until(None if timeout is None else time.monotonic() + timeout)
            finally:
                self._stepping = False
        finally:
            self._turn.release()

    def _step_until(self, deadline: float | None) -> int:
        while not self._stopped:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            try:
                served = self._serve(left)
            except ClosedError:
                if not self._stopped:
                    raise
                break
            while 0 < served < _STEP and not self._stopped and self._serve(0):
                served += 1
            if served or left == 0:
                return served
        return 0

    def stop(self, timeout: float | None) -> None:
        with self._lock:
            self._stopped = True
            thread = self._thread
        if thread is None:
            self._set.close()  # ends the wait of a step in another thread
            # At once in the thread that steps: this is a callback, and its step serves no more.
            stepped_out = self._turn.acquire(timeout=-1 if timeout is None else timeout)
            self._end_all()
            if stepped_out:
                self._turn.release()
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
                self._serve(None)
        finally:
            self._end_all()

    def _serve(self, timeout: float | None) -> int:
        """Take one result at a time, so that whoever removes a route gets what is left."""
        self._leaving.clear()
        results = self._set.wait(timeout, limit=1)
        for result in results:
            if not self._stopped:
                self._handle(result)
        return len(results)

    def _handle(self, result: IpcSelectionResult) -> None:
        with self._lock:
            route = self._routes.get(result.id) or self._leaving.get(result.id)
            if isinstance(result, ChannelClosed):
                self._routes.pop(result.id, None)
        if route is None:
            return
        errors = BaseException if self._threaded else Exception
        if isinstance(result, ChannelClosed):
            _reporting(route.end, errors)
        else:
            _reporting(lambda: route.message(result.message), errors)

    def _end_all(self) -> None:
        self._set.close()
        with self._lock:
            routes, self._routes = self._routes, {}
        for route in routes.values():
            _reporting(route.end)


_left_to_parent: list[dict[int, _Route]] = []
"""Keeps functions whose destructors are the parent's business."""


def _reporting(call: Callable[[], object], errors: type[BaseException] = BaseException) -> None:
    """Call; what it raises of `errors` is told to `threading.excepthook` and goes no further."""
    try:
        call()
    except errors as error:
        report = (type(error), error, error.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(report))


ROUTER = Router()
"""The process's own router."""
