"""Processes that are killed, stopped, or share an end of a channel."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ipc_core import BrokenChannelError, ChannelClosed, Disconnected, Empty, Router
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import Talk, meet
from ipc_core.testing.programs import peers as programs
from ipc_core.testing.states import state, wait_until, wait_until_asleep
from ipc_core.testing.timing import AtLeast, Soon
from ipc_core.testing.waiting import BOUND

PROMPT = 1.0
"""Seconds within which the death of a peer is learnt, and polls return."""

CHILDREN = 32
WAYS = ("recv", "select", "router")

Receive = Callable[[float], Any]


def receiving(bag: Bag, way: str, rx: Any) -> tuple[Receive, Callable[[], None]]:
    """Return a timed receive, and a check that other channels served with it are served."""
    other_tx, other_rx = bag.channel()
    if way == "recv":
        return rx.try_recv_timeout, lambda: None
    if way == "select":
        receivers = bag.receiver_set()
        receivers.add(rx)
        other = receivers.add(other_rx)
        waiting: list[Any] = []

        def select(timeout: float) -> Any:
            waiting.extend(receivers.try_select_timeout(timeout) if not waiting else ())
            result = waiting.pop(0)
            if isinstance(result, ChannelClosed):
                raise Disconnected
            return result.message.to()

        def selects_other() -> None:
            other_tx.send("other")
            while not any(result.id == other for result in waiting):
                waiting.extend(receivers.try_select_timeout(PROMPT))
            waiting[:] = [result for result in waiting if result.id != other]

        return select, selects_other
    router = bag.enter_context(Router())
    messages = router.route_to_queue(rx)
    others = router.route_to_queue(other_rx)

    def get(timeout: float) -> Any:
        try:
            message = messages.get(timeout=timeout)
        except queue.Empty:
            raise Empty from None
        if isinstance(message, Disconnected):
            raise message
        return message

    def routes_other() -> None:
        other_tx.send("other")
        assert others.get(timeout=PROMPT) == "other"

    return get, routes_other


def fork(bag: Bag, children: Children, program: Any, *inherited: Any) -> tuple[Any, Talk]:
    """Meet a forked child, which has every object of this process; see `meet`."""
    server, name = bag.server()
    child = children.fork(program, *inherited, name)
    rx, tx = server.accept(BOUND)
    return child, (bag.keep(tx), bag.keep(rx))


@each_test(requires(Capability.CROSS_PROCESS))
class TestKilledPeers:
    @requires(Capability.PROMPT_DISCONNECT)
    @pytest.mark.parametrize("way", WAYS)
    def test_killed_only_sender(self, bag: Bag, children: Children, way: str) -> None:
        """I35: a wait for the only sender's process ends within a second of its death."""
        child, (_, from_child) = meet(bag, children, programs.hold)
        receive, _ = receiving(bag, way, from_child)
        assert receive(BOUND) == "holding"
        waiting = bag.thread(receive, BOUND)
        waiting.wait_until_asleep()
        with Soon(PROMPT):
            child.kill()
            with pytest.raises(Disconnected):
                waiting.result()
        child.wait(BOUND)

    @requires(Capability.FORK)
    def test_inherited_sender(self, bag: Bag, children: Children) -> None:
        """I36: a sender that a forked child has inherited keeps the channel connected until that
        child ends, also when the parent has closed its own."""
        tx, rx = bag.channel()
        _, (to_child, from_child) = fork(bag, children, programs.hold)
        assert from_child.recv() == "holding"
        tx.close()
        with pytest.raises(Empty):
            rx.try_recv_timeout(0.05)
        to_child.send("go")
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)

    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("way", WAYS)
    def test_killed_in_a_large_send(self, bag: Bag, children: Children, way: str) -> None:
        """I87, W9: a sender killed in the middle of 10 MiB costs that message at most; the other
        senders of its channel and the other members of a set go on, and nothing disconnects."""
        tx, rx = bag.channel()
        receive, others_are_served = receiving(bag, way, rx)
        for rounds in range(1, 5):
            child, (to_child, _) = meet(bag, children, programs.send_large)
            to_child.send(tx)
            for _ in range(rounds):
                assert receive(BOUND) == ("child", programs.LARGE)
                to_child.send("received")
            child.kill()
            tx.send(("parent", rounds))
            child.wait(BOUND)
            tx.send(("parent", -rounds))
            following = [("parent", -rounds), ("parent", rounds)]
            while following:
                with Soon(PROMPT):
                    who, data = receive(PROMPT)
                if who == "parent":
                    assert (who, data) == following.pop()
                else:
                    assert data == programs.LARGE
            others_are_served()
        tx.close()
        with pytest.raises(Disconnected):
            receive(BOUND)

    @requires(Capability.UNBOUNDED, Capability.PROMPT_DISCONNECT)
    @pytest.mark.parametrize("end", ["kill", "close"])
    def test_receiver_ends_in_a_large_send(self, bag: Bag, children: Children, end: str) -> None:
        """I88, W8: a send of 50 MiB to a receiver that goes away does not hang, and the next one
        finds the channel broken."""
        child, (to_child, from_child) = meet(bag, children, programs.receive_once)
        tx, rx = bag.channel()
        to_child.send(rx)
        tx.send("first")
        assert from_child.recv() == "received"
        sending = bag.thread(tx.send, programs.VERY_LARGE)
        with Soon(2):
            if end == "kill":
                child.kill()
            else:
                to_child.send("close")
            try:
                sending.result()
            except BrokenChannelError:
                pass  # else it was accepted before the end
            assert tx.wait_closed(BOUND)
            with pytest.raises(BrokenChannelError):
                tx.send(programs.VERY_LARGE)
        if end == "close":
            to_child.send("end")

    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("way", WAYS)
    def test_stopped_in_a_large_send(self, bag: Bag, children: Children, way: str) -> None:
        """W10, I46: a sender stopped in the middle of 50 MiB holds up nobody: polls return at
        once, timed waits in time, others are served; continued, its message arrives."""
        if sys.platform == "win32":
            pytest.skip("this system stops no process by a signal")
        tx, rx = bag.channel()
        receive, others_are_served = receiving(bag, way, rx)
        child, (to_child, _) = meet(bag, children, programs.send_very_large)
        to_child.send(tx)
        assert receive(BOUND) == "it comes"
        os.kill(child.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: state(child.pid) in "T?", "the child stops")
            arrived = []
            with Soon(PROMPT):
                try:
                    arrived.append(receive(0))
                except Empty:
                    pass
            with AtLeast(0.1), Soon(PROMPT):
                try:
                    arrived.append(receive(0.1))
                    raise Empty
                except Empty:
                    pass
            with Soon(PROMPT):
                others_are_served()
                tx.send("from another sender")
                answer = receive(PROMPT)
                if answer == programs.VERY_LARGE:
                    arrived.append(answer)
                    answer = receive(PROMPT)
                assert answer == "from another sender"
        finally:
            os.kill(child.pid, signal.SIGCONT)
        assert (arrived or [receive(BOUND)]) == [programs.VERY_LARGE]
        to_child.send("end")
        assert child.wait(BOUND) == 0

    @requires(Capability.FORK)
    def test_many_processes_send(self, bag: Bag, children: Children) -> None:
        """I91: the messages of 32 processes to one receiver arrive, each one's in order, and
        then the disconnect."""
        tx, rx = bag.channel()
        for who in range(CHILDREN):
            children.fork(programs.send_each, tx, who)  # type: ignore[arg-type]
        tx.close()
        following = [0] * CHILDREN
        for who, number in rx:
            assert number == following[who]
            following[who] += 1
        assert following == [programs.EACH] * CHILDREN

    def test_sender_passed_on_twice(self, bag: Bag, children: Children) -> None:
        """I92: a sender that went from here to a second process, now gone, and on to a third
        leads back here."""
        tx, rx = bag.channel()
        third, (to_third, from_third) = meet(bag, children, programs.reply)
        second, (to_second, _) = meet(bag, children, programs.pass_on)
        to_second.send((tx, to_third))
        tx.close()
        assert second.wait(BOUND) == 0
        assert from_third.recv() == "got it"
        to_third.send("go")
        assert rx.try_recv_timeout(BOUND) == "the answer"
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        assert third.wait(BOUND) == 0


@each_test(requires(Capability.CROSS_PROCESS, Capability.FORK))
class TestSharedReceivers:
    @pytest.mark.threads
    def test_polls_of_a_shared_receiver(self, bag: Bag, children: Children) -> None:
        """W11: another process's polls of an inherited receiver do not end this one's wait."""
        tx, rx = bag.channel()
        _, (to_child, from_child) = fork(bag, children, programs.poll_shared, rx)
        waiting = bag.thread(rx.recv)
        waiting.wait_until_asleep()
        to_child.send("poll")
        assert from_child.try_recv_timeout(BOUND) == "polled"
        assert waiting.is_alive()
        tx.send("after all polls")
        assert waiting.result() == "after all polls"
        to_child.send("stop")

    @pytest.mark.threads
    def test_one_message_for_two_processes(self, bag: Bag, children: Children) -> None:
        """W16: two processes wait for one message; the loser raises Empty at its deadline."""
        tx, rx = bag.channel()
        child, (to_child, from_child) = fork(bag, children, programs.wait_shared, rx)
        assert from_child.recv() == "waiting"

        def send_when_both_wait() -> None:
            wait_until_asleep(threading.main_thread())
            wait_until(lambda: state(child.pid) in "S?", "the child waits")
            tx.send("for one")

        sending = bag.thread(send_when_both_wait)
        mine, mine_took = programs.timed_wait(rx)
        sending.result()
        theirs, their_took = from_child.recv()
        assert mine + theirs == ["for one"]
        loser_took = their_took if mine else mine_took
        assert programs.SHARED_WAIT <= loser_took < programs.SHARED_WAIT + PROMPT
        to_child.send("end")
