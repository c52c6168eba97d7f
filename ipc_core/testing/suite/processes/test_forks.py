"""Objects that a forked child inherits, and their use there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ipc_core
from ipc_core import BrokenChannelError, Disconnected, Router
from ipc_core.spi import Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.payloads import MIB, pattern, same
from ipc_core.testing.waiting import BOUND, SOON, still_waits

MANY = 2000  # more than a transport's own buffer holds


def in_child(children: Children, work: Callable[[], None]) -> None:
    """Run `work` in a fork of this process, and wait until it is done."""
    child = children.fork(work)
    child.join(BOUND)
    assert child.exitcode == 0


@each_test(requires(Capability.CROSS_PROCESS, Capability.FORK))
@each_test(pytest.mark.threads)
class TestForks:
    @requires(Capability.UNBOUNDED)
    def test_fork_both_send(self, bag: Bag, children: Children) -> None:
        """I36, I72: after a fork parent and child send over the same sender, also with a queue that
        was long at the fork; each one's messages stay in order, and none is lost."""
        tx, rx = bag.channel()
        for number in range(MANY):
            tx.send(("parent", number))

        def work() -> None:
            for number in range(MANY):
                tx.send(("child", number))

        child = children.fork(work)
        for number in range(MANY, 2 * MANY):
            tx.send(("parent", number))
        child.join(BOUND)
        assert child.exitcode == 0
        tx.close()
        seen: dict[str, list[int]] = {"parent": [], "child": []}
        for who, number in rx:
            seen[who].append(number)
        assert seen == {"parent": list(range(2 * MANY)), "child": list(range(MANY))}

    @requires(Capability.UNBOUNDED)
    def test_fork_both_send_large(self, bag: Bag, children: Children) -> None:
        """I36, I90: large payloads of parent and child on one sender do not mix."""
        tx, rx = bag.bytes_channel()
        tx.send(pattern(MIB))
        rx.recv()

        def work() -> None:
            for _ in range(20):
                tx.send(pattern(MIB, flag=0x80))

        child = children.fork(work)
        for _ in range(20):
            tx.send(pattern(MIB))
        for _ in range(40):
            data = rx.try_recv_timeout(BOUND)
            assert same(data, pattern(MIB)) or same(data, pattern(MIB, flag=0x80))
        child.join(BOUND)

    def test_fork_while_threads_wait(self, bag: Bag, children: Children, router: Router) -> None:
        """I72, W43: the child may use and close objects that its parent's threads wait on at the
        fork; the parent's waits go on."""
        tx, rx = bag.channel()
        member_tx, member_rx = bag.channel()
        routed_tx, routed_rx = bag.channel()
        watched_tx, watched_rx = bag.channel()
        members = bag.receiver_set()
        members.add(member_rx)
        routed = router.route_to_queue(routed_rx)
        receiving = bag.thread(rx.recv)
        selecting = bag.thread(members.select)
        watching = bag.thread(watched_tx.wait_closed)
        for thread in (receiving, selecting, watching):
            thread.wait_until_asleep()

        def work() -> None:
            inner_tx, inner_rx = ipc_core.channel()
            inner_tx.send("routed")
            assert router.route_to_queue(inner_rx).get(timeout=SOON) == "routed"
            spare_tx, spare_rx = ipc_core.channel()
            id = members.add(spare_rx)
            spare_tx.send("selected")
            (result,) = members.try_select_timeout(SOON)
            assert (result.id, result.message.to()) == (id, "selected")  # type: ignore[union-attr]
            members.remove(id).close()
            members.remove(0).close()
            for end in (rx, members, watched_tx, watched_rx):
                end.close()
            router.shutdown()

        in_child(children, work)
        assert still_waits(receiving)
        assert still_waits(selecting)
        assert still_waits(watching)
        tx.send("received")
        assert receiving.result() == "received"
        member_tx.send("selected")
        ((_, message),) = [(r.id, r.message.to()) for r in selecting.result()]
        assert message == "selected"
        routed_tx.send("routed")
        assert routed.get(timeout=SOON) == "routed"
        watched_rx.close()
        assert watching.result()

    def test_fork_set_of_the_child(self, bag: Bag, children: Children) -> None:
        """I50, I72: a set that was filled before the fork works in the child as in the parent."""
        to_child, member = bag.channel()
        members = bag.receiver_set()
        id = members.add(member)
        back_tx, back_rx = bag.channel()
        to_child.send("one of us")

        def work() -> None:
            (result,) = members.try_select_timeout(SOON)
            assert result.id == id
            back_tx.send(result.message.to())  # type: ignore[union-attr]

        in_child(children, work)
        assert back_rx.try_recv_timeout(SOON) == "one of us"
        to_child.send("the parent")
        (result,) = members.try_select_timeout(SOON)
        assert result.message.to() == "the parent"  # type: ignore[union-attr]

    def test_fork_server_stays_with_the_parent(self, bag: Bag, children: Children) -> None:
        """I5, I72: a child that closes its copy of a server does not end its parent's."""
        server, name = bag.server()
        in_child(children, server.close)
        bag.connect(name).send("still here")
        assert bag.keep(server.accept(SOON)[0]) is not None

    def test_fork_disconnects_with_the_last_copy(self, bag: Bag, children: Children) -> None:
        """I36: a sender counts until parent and child have both closed it."""
        tx, rx = bag.channel()
        ready_tx, ready_rx = bag.channel()
        leave_tx, leave_rx = bag.channel()

        def work() -> None:
            ready_tx.send("ready")
            leave_rx.try_recv_timeout(BOUND)

        child = children.fork(work)
        ready_rx.try_recv_timeout(BOUND)
        tx.close()
        with pytest.raises(ipc_core.Empty):
            rx.try_recv()
        leave_tx.send("leave")
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        child.join(BOUND)


@each_test(requires(Capability.CROSS_PROCESS))
class TestForksApart:
    def test_fork_child_has_connections_of_its_own(self, bag: Bag, children: Children) -> None:
        """I36, I72: a forked child makes channels and connects as any process does; its use of
        them, and its end, leave those of its parent as they are. FORK is about more: ends
        that both inherit."""
        tx, rx = bag.channel()
        tx.send("before the fork")
        assert rx.recv() == "before the fork"
        tx.send(0)
        server, name = bag.server()

        def work() -> None:
            with Bag() as own:
                talk(*own.channel(), "child")
                own.connect(name).send("done")

        child = children.fork(work)
        assert rx.recv() == 0
        talk(tx, rx, "parent")
        receiver, answer = server.accept(BOUND)
        bag.keep(receiver)
        assert answer == "done"
        with pytest.raises(Disconnected):
            receiver.try_recv_timeout(BOUND)
        child.join(BOUND)
        assert child.exitcode == 0
        talk(tx, rx, "parent, afterwards")
        talk(*bag.channel(), "parent, anew")


def talk(
    tx: ipc_core.IpcSender[object], rx: ipc_core.IpcReceiver[object], who: str, count: int = 200
) -> None:
    """Send and receive numbered messages."""
    for number in range(count):
        tx.send((who, number))
        assert rx.try_recv_timeout(BOUND) == (who, number)


@each_test(pytest.mark.threads)
class TestForksInProcess:
    def test_fork_nothing_vanishes(self, bag: Bag, backend: Backend, children: Children) -> None:
        """I36, W42: a backend whose channels stay in one process breaks a forked child's copies
        instead of letting them send."""
        if Capability.CROSS_PROCESS in backend.capabilities:
            pytest.skip("channels reach other processes")
        tx, rx = bag.channel()
        tx.send("for the parent")

        def work() -> None:
            with pytest.raises(BrokenChannelError):
                tx.send("for nobody")
            with pytest.raises(Disconnected):
                rx.recv()
            inner_tx, inner_rx = ipc_core.channel()
            inner_tx.send("own")
            assert inner_rx.recv() == "own"

        in_child(children, work)
        assert rx.recv() == "for the parent"
        tx.send("goes on")
        assert rx.recv() == "goes on"
