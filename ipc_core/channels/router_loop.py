"""The loop that serves a router's routes: wait for a result, find its route, call back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import ipc_core._typing as t
from ipc_core.channels.receiver_set import AnyReceiver, IpcReceiverSet
from ipc_core.channels.selection import ChannelClosed, IpcSelectionResult
from ipc_core.spi.concurrency import THREADS, BriefLock
from ipc_core.spi.errors import ClosedError, IpcError, NotSupportedError

_STEP = 64
"""The most results that one step serves: a callback may send to its own receiver for ever."""


class Route:
    """The functions to call for one receiver; emptied at its end, so that they can be freed."""

    def __init__(
        self,
        callback: Callable[[t.Any], object],
        on_close: Callable[[], object] | None,
        once: bool = False,
    ) -> None:
        self.callback: Callable[[t.Any], object] | None = callback
        self.on_close = on_close
        self.once = once

    def message(self, message: t.Any) -> None:
        """Decode a message and call back with it; after the end, free it."""
        callback = self.callback
        if callback is None:
            message.close()
            return
        if self.once:
            self.callback = None
        callback(message.to())

    def end(self) -> None:
        """Call `on_close`, and drop both functions; possible once."""
        on_close, self.callback, self.on_close = self.on_close, None, None
        if on_close is not None:
            on_close()


class RouterLoop:
    """The routes of a router, and the thread or the steps that serve them.

    It holds no reference to the Router, so that dropping the Router shuts it down.

    `_lock` guards the routes and is held for a few steps, never during a callback. `_turn` is held
    for a whole step: by it a second step is refused, and `stop` waits for a running callback.
    """

    def __init__(self, threaded: bool) -> None:
        self._threaded = threaded
        self._set = IpcReceiverSet()
        self._routes: dict[int, Route] = {}
        # Routes removed since the last wait began, which may still return one of their messages.
        self._former_routes: dict[int, Route] = {}
        self._lock = BriefLock()
        self._thread: threading.Thread | None = None
        self._turn = threading.RLock()
        self._stepping = False
        self._stopped = False

    def add(self, receiver: AnyReceiver, route: Route) -> int:
        """See Router.add_route."""
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
        """See Router.remove_route."""
        with self._lock:
            if id not in self._routes:
                raise KeyError(id)
            receiver = self._set.remove(id)  # KeyError while its end is being served
            route = self._routes.pop(id)
            if self._thread or self._stepping:
                self._former_routes[id] = route  # for a message that was taken already
            return receiver

    def step(self, timeout: float | None) -> int:
        """See Router.step."""
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
        """End the routes; wait at most `timeout` seconds for a callback in another thread."""
        with self._lock:
            self._stopped = True
            thread = self._thread
        if thread is None:
            self._set.close()  # ends the wait of a step in another thread
            # The lock is reentrant: a callback does not wait for its own step, which serves no
            # more.
            stepped_out = self._turn.acquire(timeout=-1 if timeout is None else timeout)
            self._end_all()
            if stepped_out:
                self._turn.release()
            return
        self._set.wake()
        if thread is not threading.current_thread():
            thread.join(timeout)

    def leave_to_parent(self) -> None:
        """In a forked child, close the receivers without calling or dropping any function."""
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
        """Serve one result; return 0 if there was none.

        Only one is taken at a time: the rest stays in its receivers, which may be removed. A wait
        over several backends may take more; the next calls serve those.
        """
        if not self._set._owes_results:
            self._former_routes.clear()
        results = self._set.wait(timeout, limit=1)
        for result in results:
            if not self._stopped:
                self._handle(result)
        return len(results)

    def _handle(self, result: IpcSelectionResult) -> None:
        with self._lock:
            route = self._routes.get(result.id) or self._former_routes.get(result.id)
            if isinstance(result, ChannelClosed):
                self._routes.pop(result.id, None)
        if route is None:
            return
        # Without a thread, KeyboardInterrupt and SystemExit are for the caller of `step`.
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


_left_to_parent: list[dict[int, Route]] = []
"""Functions kept for good in a forked child, so that only the parent runs their destructors."""


def _reporting(call: Callable[[], object], errors: type[BaseException] = BaseException) -> None:
    """Call a function; report `errors` that it raises to `threading.excepthook`, not the caller."""
    try:
        call()
    except errors as error:
        report = (type(error), error, error.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(report))
