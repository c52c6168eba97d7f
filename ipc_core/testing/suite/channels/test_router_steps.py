"""A router without a thread: callbacks run when the program takes a step."""

from __future__ import annotations

import gc
import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from ipc_core import BrokenChannelError, ClosedError, Disconnected, IpcError, Router
from ipc_core.testing.bag import Bag
from ipc_core.testing.waiting import BOUND


def threads_of_routers() -> list[threading.Thread]:
    """Such as that of the process's own router, which others may have used."""
    return [thread for thread in threading.enumerate() if "router" in thread.name]


class TestRouterSteps:
    @pytest.fixture
    def stepped(self, level: None) -> Iterator[Router]:
        with Router(threaded=False) as router:
            yield router

    def test_steps_serve_what_has_arrived(self, bag: Bag, stepped: Router) -> None:
        """I62: messages in order, then the end, all in the thread that takes the steps."""
        tx, rx = bag.channel()
        seen: list[object] = []

        def callback(message: object) -> None:
            seen.append((message, threading.get_ident()))

        before = threads_of_routers()
        stepped.add_route(rx, callback, lambda: seen.append("closed"))
        assert stepped.step() == 0
        for i in range(3):
            tx.send(i)
        tx.close()
        served = 0
        while served < 4:
            step = stepped.step(BOUND)
            assert step > 0
            served += step
        assert served == 4
        assert seen == [*((i, threading.get_ident()) for i in range(3)), "closed"]
        assert stepped.step() == 0
        assert threads_of_routers() == before

    def test_steps_serve_many_routes(self, bag: Bag, stepped: Router) -> None:
        """I70: several receivers, more messages than one step serves."""
        found: queue.Queue[Any] = queue.Queue()
        for i in range(5):
            tx, rx = bag.channel()
            stepped.route_to_queue(rx, found)
            for j in range(100):
                tx.send((i, j))
            tx.close()
        served = 0
        while served < 5 * 101:
            served += stepped.step(BOUND)
        got = [found.get_nowait() for _ in range(found.qsize())]
        assert sum(isinstance(message, Disconnected) for message in got) == 5
        for i in range(5):
            mine = [m[1] for m in got if isinstance(m, tuple) and m[0] == i]
            assert mine == list(range(100))

    def test_steps_once(self, bag: Bag, stepped: Router) -> None:
        """I68: a one-shot route is called with the first message only."""
        tx, rx = bag.channel()
        extra_tx, extra_rx = bag.channel()
        seen: list[object] = []
        stepped.add_one_shot_route(rx, seen.append)
        tx.send("first")
        tx.send(extra_tx)
        extra_tx.close()
        served = 0
        while served < 2:
            served += stepped.step(BOUND)
        assert seen == ["first"]
        with pytest.raises(Disconnected):  # the discarded message was closed
            extra_rx.try_recv_timeout(BOUND)

    def test_steps_report_what_callbacks_raise(
        self, bag: Bag, stepped: Router, reports: list[BaseException]
    ) -> None:
        """I64: an exception of a callback is reported, and the route goes on."""
        tx, rx = bag.channel()
        seen: list[object] = []
        stepped.add_route(rx, lambda message: seen.append(1 // message))
        tx.send(0)
        tx.send(1)
        served = 0
        while served < 2:
            served += stepped.step(BOUND)
        assert seen == [1]
        assert [type(error) for error in reports] == [ZeroDivisionError]

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_steps_let_interrupts_through(
        self, bag: Bag, stepped: Router, reports: list[BaseException], kind: type[BaseException]
    ) -> None:
        """I34, I64: Ctrl-C in a callback reaches the step's caller; arrived messages come next."""
        tx, rx = bag.channel()
        seen: list[object] = []

        def callback(message: object) -> None:
            if message == "stop":
                raise kind
            seen.append(message)

        stepped.add_route(rx, callback)
        for message in ("stop", 1, 2):
            tx.send(message)
        with pytest.raises(kind):
            stepped.step(BOUND)
        while len(seen) < 2:
            assert stepped.step(BOUND) > 0
        assert seen == [1, 2]
        assert reports == []

    def test_steps_in_callbacks(
        self, bag: Bag, stepped: Router, reports: list[BaseException]
    ) -> None:
        """I65: a callback may add routes and shut the router down, but takes no step."""
        tx, rx = bag.channel()
        inner_tx, inner_rx = bag.channel()
        seen: list[object] = []

        def callback(message: object) -> None:
            if message == "add":
                stepped.add_route(inner_rx, seen.append, lambda: seen.append("closed"))
                stepped.step()
            else:
                stepped.shutdown()
                seen.append(message)

        stepped.add_route(rx, callback)
        tx.send("add")
        assert stepped.step(BOUND) == 1
        assert [type(error) for error in reports] == [IpcError]
        inner_tx.send("inner")
        assert stepped.step(BOUND) == 1
        tx.send("shut down")
        tx.send("not served")
        assert stepped.step(BOUND) == 1
        assert seen == ["inner", "closed", "shut down"]
        with pytest.raises(ClosedError):
            stepped.step()

    def test_steps_end_with_the_router(self, bag: Bag, stepped: Router) -> None:
        """I66, I67: shutting down, or dropping the router, ends routes and closes receivers."""
        ends: list[str] = []
        tx, rx = bag.channel()
        stepped.add_route(rx, print, lambda: ends.append("shut down"))
        stepped.shutdown()
        stepped.shutdown()
        with pytest.raises(BrokenChannelError):
            tx.send(1)
        late_tx, late_rx = bag.channel()
        stepped.add_route(late_rx, print, lambda: ends.append("late"))
        with pytest.raises(BrokenChannelError):
            late_tx.send(1)
        dropped = Router(threaded=False)
        other_tx, other_rx = bag.channel()
        dropped.add_route(other_rx, print, lambda: ends.append("dropped"))
        gone = weakref.ref(dropped)
        del dropped
        gc.collect()
        assert gone() is None
        with pytest.raises(BrokenChannelError):
            other_tx.send(1)
        assert ends == ["shut down", "late", "dropped"]

    def test_steps_remove(self, bag: Bag, stepped: Router) -> None:
        """I49: a removed route gives its receiver back with its queue."""
        tx, rx = bag.channel()
        id = stepped.add_route(rx, print)
        tx.send("queued")
        receiver: Any = bag.keep(stepped.remove_route(id))
        assert receiver.try_recv_timeout(BOUND) == "queued"
        assert stepped.step() == 0

    def test_steps_remove_from_another_callback(self, bag: Bag, stepped: Router) -> None:
        """I62: a route that a callback removes gives back also messages that had arrived."""
        ids: dict[str, int] = {}
        removed: list[tuple[str, Any]] = []

        def remove_the_other(name: str) -> None:
            [other] = ids.keys() - {name}
            removed.append((other, bag.keep(stepped.remove_route(ids[other]))))

        for name in ("one", "other"):
            tx, rx = bag.channel()
            ids[name] = stepped.add_route(rx, remove_the_other)
            tx.send(name)
        assert stepped.step(BOUND) == 1
        [(name, back)] = removed
        assert back.try_recv_timeout(BOUND) == name
        assert stepped.step() == 0

    def test_steps_need_a_router_without_a_thread(self, level: None) -> None:
        """I65: a router with a thread takes no steps."""
        with Router() as router, pytest.raises(IpcError, match="threaded=False"):
            router.step()

    @pytest.mark.threads
    def test_steps_wait(self, bag: Bag, stepped: Router) -> None:
        """I71: a step waits for another thread's message, also when it began without a route."""
        seen: list[object] = []
        stepping = bag.thread(stepped.step, None)
        stepping.wait_until_asleep()
        tx, rx = bag.channel()
        stepped.add_route(rx, seen.append)
        tx.send(1)
        assert stepping.result(BOUND) == 1
        assert seen == [1]
        stepping = bag.thread(stepped.step, None)
        stepping.wait_until_asleep()
        tx.send(2)
        assert stepping.result(BOUND) == 1
        assert seen == [1, 2]

    @pytest.mark.threads
    def test_steps_of_one_thread_at_a_time(self, bag: Bag, stepped: Router) -> None:
        """I71: a second thread's step is refused while one waits."""
        stepping = bag.thread(stepped.step, None)
        stepping.wait_until_asleep()
        with pytest.raises(IpcError, match="another thread"):
            stepped.step()
        stepped.shutdown()
        assert stepping.result(BOUND) == 0

    @pytest.mark.threads
    def test_steps_are_over_when_shutdown_returns(self, bag: Bag, stepped: Router) -> None:
        """I66: shutting down in another thread waits for the callback that runs."""
        tx, rx = bag.channel()
        entered, leave = threading.Event(), threading.Event()
        order: list[str] = []

        def callback(message: object) -> None:
            entered.set()
            assert leave.wait(BOUND)
            order.append("callback")

        stepped.add_route(rx, callback)
        tx.send(1)
        tx.send(2)

        def shut_down() -> None:
            stepped.shutdown()
            order.append("shut down")

        stepping = bag.thread(stepped.step, None)
        assert entered.wait(BOUND)
        shutting = bag.thread(shut_down)
        shutting.wait_until_asleep()
        leave.set()
        assert stepping.result(BOUND) == 1
        shutting.result(BOUND)
        assert order == ["callback", "shut down"]
