"""Routers with a thread that calls back."""

from __future__ import annotations

import pickle
import queue
import threading
from typing import Any

import pytest

import ipc_core
from ipc_core import Disconnected, Router
from ipc_core.spi import Backend
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test

PAIR = ("Patrick Walton", 29)
SOON = 20
FLOOD = 2_000


@each_test(pytest.mark.threads)
class TestRouter:
    def test_router_global(self, bag: Bag) -> None:
        """B10: a router serves queued messages; after shutdown routes end at once."""
        router = ipc_core.Router()
        for message in (PAIR, 42):
            tx, rx = bag.channel()
            tx.send(message)
            assert router.route_to_queue(rx).get(timeout=SOON) == message
        router.shutdown()
        tx, rx = bag.channel()
        tx.send(PAIR)
        assert isinstance(router.route_to_queue(rx).get(timeout=SOON), Disconnected)
        router.shutdown()

    def test_router_flood(self, bag: Bag, router: Router) -> None:
        """B11: channels come and go by the thousand without a descriptor left behind."""
        for _ in range(FLOOD):
            tx, rx = ipc_core.channel()
            reply_tx, reply_rx = ipc_core.channel()
            with tx, reply_tx, reply_rx:
                router.add_route(rx, reply_tx.send)
                tx.send(PAIR)
                assert reply_rx.try_recv_timeout(SOON) == PAIR

    def test_router_to_new_queue(self, bag: Bag, router: Router) -> None:
        """B13, B15: receivers become queues of their own."""
        pairs = [bag.channel() for _ in range(2)]
        for tx, _ in pairs:
            tx.send(PAIR)
        queues = [router.route_to_queue(rx) for _, rx in pairs]
        assert [q.get(timeout=SOON) for q in queues] == [PAIR, PAIR]

    def test_router_from_threads(self, bag: Bag) -> None:
        """B16: messages of senders that have gone already come before the end."""
        pairs = [bag.channel() for _ in range(2)]

        def send(tx: Any) -> None:
            with tx:
                tx.send(PAIR)

        for tx, _ in pairs:
            bag.thread(send, tx).result()
        with Router() as router:
            for _, rx in pairs:
                found = router.route_to_queue(rx)
                assert found.get(timeout=SOON) == PAIR
                assert isinstance(found.get(timeout=SOON), Disconnected)

    def test_router_once(self, bag: Bag, router: Router) -> None:
        """B14, I68: a one-shot route is called with the first message; the rest is discarded."""
        tx, rx = bag.channel()
        reply_tx, reply_rx = bag.channel()
        extra_tx, extra_rx = bag.channel()
        calls: list[object] = []

        def once(message: object, reply: Any = reply_tx) -> None:
            calls.append(message)
            reply.send(())

        router.add_one_shot_route(rx, once)
        del once
        tx.send(PAIR)
        assert reply_rx.try_recv_timeout(SOON) == ()
        tx.send(extra_tx)
        tx.send(PAIR)
        extra_tx.close()
        with pytest.raises(Disconnected):  # the discarded message was closed
            extra_rx.try_recv_timeout(SOON)
        reply_tx.close()
        with pytest.raises(Disconnected):
            reply_rx.try_recv_timeout(SOON)
        assert calls == [PAIR]

    def test_router_big_data(self, bag: Bag, router: Router) -> None:
        """B19: a message of more than a mebibyte comes whole."""
        tx, rx = bag.channel()
        message = [PAIR] * 65_536
        found = router.route_to_queue(rx)
        bag.thread(tx.send, message).result()
        assert found.get(timeout=SOON) == message

    def test_router_order(self, bag: Bag, router: Router) -> None:
        """I62: messages in order, then the end."""
        tx, rx = bag.channel()
        found: queue.Queue[object] = queue.Queue()
        router.add_route(rx, found.put, lambda: found.put("closed"))
        for i in range(3):
            tx.send(i)
        tx.close()
        assert [found.get(timeout=SOON) for _ in range(4)] == [0, 1, 2, "closed"]

    def test_router_bad_message(
        self, bag: Bag, backend: Backend, router: Router, reports: list[BaseException]
    ) -> None:
        """I63: a message that does not decode is reported, and the route goes on."""
        tx, rx = bag.forged_channel(backend)
        found = router.route_to_queue(rx)
        tx.send(b"no pickle")
        tx.send(pickle.dumps(PAIR))
        assert found.get(timeout=SOON) == PAIR
        assert [type(error) for error in reports] == [ipc_core.DecodeError]

    def test_router_raising_callback(
        self, bag: Bag, router: Router, reports: list[BaseException]
    ) -> None:
        """I64, W19: a callback that raises is reported; later messages and other routes go on."""
        tx, rx = bag.channel()
        other_tx, other_rx = bag.channel()
        found: queue.Queue[object] = queue.Queue()

        def callback(message: int) -> None:
            found.put(1 // message)

        router.add_route(rx, callback)
        others = router.route_to_queue(other_rx)
        for i in (0, 1):
            tx.send(i)
        other_tx.send(PAIR)
        assert found.get(timeout=SOON) == 1
        assert others.get(timeout=SOON) == PAIR
        assert [type(error) for error in reports] == [ZeroDivisionError]

    def test_router_in_callbacks(self, bag: Bag, router: Router) -> None:
        """I65, W20: a callback may add routes, send to itself, and shut the router down."""
        tx, rx = bag.channel()
        inner_tx, inner_rx = bag.channel()
        found: queue.Queue[object] = queue.Queue()

        def callback(message: object) -> None:
            if message == "add":
                router.add_route(inner_rx, found.put)
                tx.send("shut down")
            else:
                router.shutdown()
                found.put("shut down")

        inner_tx.send(PAIR)
        router.add_route(rx, callback)
        tx.send("add")
        while found.get(timeout=SOON) != "shut down":
            pass  # the inner route may have been served before
        assert inner_tx.wait_closed(SOON)

    def test_router_existing_queue(self, bag: Bag, router: Router) -> None:
        """I70: several receivers may feed one queue; each end shows in it."""
        found: queue.Queue[object] = queue.Queue()
        for i in range(2):
            tx, rx = bag.channel()
            assert router.route_to_queue(rx, found) is found
            tx.send(i)
            tx.close()
        got = [found.get(timeout=SOON) for _ in range(4)]
        assert sorted(message for message in got if isinstance(message, int)) == [0, 1]
        assert sum(isinstance(message, Disconnected) for message in got) == 2

    def test_router_many_threads_add(self, bag: Bag, router: Router) -> None:
        """I71: eight threads add routes at once, and all are served."""
        each = 25
        found: queue.Queue[object] = queue.Queue()

        def add(number: int) -> None:
            for i in range(each):
                tx, rx = ipc_core.channel()
                router.add_route(rx, found.put)
                with tx:
                    tx.send((number, i))

        for worker in [bag.thread(add, number) for number in range(8)]:
            worker.result()
        got = {found.get(timeout=SOON) for _ in range(8 * each)}
        assert got == {(number, i) for number in range(8) for i in range(each)}

    def test_router_remove(self, bag: Bag, router: Router) -> None:
        """I49: a removed route gives its receiver back with its queue; its id is spent."""
        tx, rx = bag.channel()
        id = router.add_route(rx, print)
        receiver = bag.keep(router.remove_route(id))
        tx.send(PAIR)
        assert receiver.recv() == PAIR  # type: ignore[union-attr]
        with pytest.raises(KeyError):
            router.remove_route(id)

    def test_router_remove_from_another_callback(self, bag: Bag, router: Router) -> None:
        """I62: a route that a callback removes gives back also messages that had arrived."""
        busy, go_on = threading.Event(), threading.Event()
        gate_tx, gate_rx = bag.channel()

        def hold_up(message: object) -> None:
            busy.set()
            assert go_on.wait(SOON)

        router.add_route(gate_rx, hold_up)
        gate_tx.send("busy")
        assert busy.wait(SOON)
        ids: dict[str, int] = {}
        removed: queue.Queue[tuple[str, Any]] = queue.Queue()

        def remove_the_other(name: str) -> None:
            [other] = ids.keys() - {name}
            removed.put((other, router.remove_route(ids[other])))

        for name in ("one", "other"):
            tx, rx = bag.channel()
            ids[name] = router.add_route(rx, remove_the_other)
            tx.send(name)
        go_on.set()
        name, back = removed.get(timeout=SOON)
        assert bag.keep(back).try_recv_timeout(SOON) == name
        router.shutdown()
        assert removed.empty()
