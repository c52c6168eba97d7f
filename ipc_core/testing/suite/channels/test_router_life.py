"""Start and end of a router, after which it holds nothing."""

from __future__ import annotations

import gc
import os
import queue
import threading
import weakref

import pytest

import ipc_core
from ipc_core import BrokenChannelError, Router
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import use_the_router

PAIR = ("Patrick Walton", 29)
SOON = 20


class Finalised:
    """An object that reports into a queue when nothing holds it any more."""

    def __init__(self, said: queue.Queue[str]) -> None:
        weakref.finalize(self, said.put, "finalised")

    def callback(self, message: object) -> None:
        raise AssertionError(f"nothing was to come, not {message!r}")


@each_test(pytest.mark.threads)
class TestRouterLife:
    @requires(Capability.CROSS_PROCESS)
    def test_router_of_the_process(self, children: Children) -> None:
        """B10: ROUTER is made on first use, is one object, and a program may end with it."""
        assert children.start(use_the_router).wait(SOON) == 0

    def test_router_shutdown(self, level: None) -> None:
        """B12: shutting down a router without routes returns, and its thread is gone."""
        before = threading.active_count()
        Router().shutdown()
        assert threading.active_count() == before

    def test_router_once_without_a_message(self, bag: Bag, router: Router) -> None:
        """I69: a one-shot route whose sender goes is dropped uncalled."""
        tx, rx = bag.channel()
        said: queue.Queue[str] = queue.Queue()
        router.add_one_shot_route(rx, Finalised(said).callback)
        tx.close()
        assert said.get(timeout=SOON) == "finalised"

    @pytest.mark.parametrize("clones", [0, 3])
    def test_router_drops_callbacks(self, bag: Bag, router: Router, clones: int) -> None:
        """B17, B18: a callback is dropped when the last sender goes, and not before."""
        tx, rx = bag.channel()
        others = [bag.keep(tx.clone()) for _ in range(clones)]
        said: queue.Queue[str] = queue.Queue()
        router.add_route(rx, Finalised(said).callback)
        for clone in others:
            clone.close()
        check_tx, check_rx = bag.channel()
        check_tx.send(PAIR)
        assert router.route_to_queue(check_rx).get(timeout=SOON) == PAIR
        gc.collect()
        assert said.empty()
        tx.close()
        assert said.get(timeout=SOON) == "finalised"

    def test_router_shutdown_from_everywhere(self, bag: Bag, level: None) -> None:
        """I66: shutdown may be called twice, by two threads at once, or by dropping the router."""
        router = Router()
        _, rx = bag.channel()
        router.add_route(rx, print)
        threads = [bag.thread(router.shutdown) for _ in range(2)]
        router.shutdown()
        for thread in threads:
            thread.result()
        dropped = Router()
        _, other_rx = bag.channel()
        said: queue.Queue[str] = queue.Queue()
        dropped.add_route(other_rx, Finalised(said).callback)
        del dropped
        gc.collect()
        assert said.get(timeout=SOON) == "finalised"

    def test_router_shutdown_with_routes(self, bag: Bag, router: Router) -> None:
        """I67: shutdown drops every callback and closes every receiver."""
        said: queue.Queue[str] = queue.Queue()
        senders = []
        for _ in range(10):
            tx, rx = bag.channel()
            router.add_route(rx, Finalised(said).callback)
            senders.append(tx)
        router.shutdown()
        gc.collect()
        assert [said.get(timeout=SOON) for _ in range(10)] == ["finalised"] * 10
        for tx in senders:
            with pytest.raises(BrokenChannelError):
                tx.send(PAIR)

    def test_router_whose_thread_does_not_start(
        self, bag: Bag, router: Router, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """I62: the receiver stays yours, and routes that are added later work."""

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        tx, rx = bag.channel()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                router.add_route(rx, print)
        tx.send("still here")
        assert rx.try_recv_timeout(SOON) == "still here"
        found = router.route_to_queue(rx)
        tx.send("routed")
        assert found.get(timeout=SOON) == "routed"

    @requires(Capability.FORK)
    def test_router_after_fork(self, bag: Bag, router: Router) -> None:
        """I72: a forked child has a router of its own, without its parent's routes."""
        if not hasattr(os, "fork"):
            pytest.skip("this system has no fork")
        tx, rx = bag.channel()
        found = router.route_to_queue(rx)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                inner_tx, inner_rx = ipc_core.channel()
                inner_tx.send(PAIR)
                status = int(router.route_to_queue(inner_rx).get(timeout=SOON) != PAIR)
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        tx.send(PAIR)
        assert found.get(timeout=SOON) == PAIR
