"""Channels between this process and children."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from ipc_core import Disconnected, Empty
from ipc_core.spi import Capability
from ipc_core.testing import programs
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.timing import AtLeast, Soon
from ipc_core.testing.waiting import BOUND

PAIR = ("Patrick Walton", 29)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@each_test(requires(Capability.CROSS_PROCESS))
class TestCrossProcess:
    def test_spawn_one_shot_server_client(self, bag: Bag, children: Children) -> None:
        """B112: a program that is given a server's name sends one text and exits."""
        server, name = bag.server()
        child = children.start(programs.say_test_message, name)
        rx, first = server.accept(BOUND)
        assert first == "test message"
        with pytest.raises(Disconnected):
            bag.keep(rx).try_recv_timeout(BOUND)
        assert child.wait(BOUND) == 0

    def test_embedded_senders_spawn(self, bag: Bag, children: Children) -> None:
        """B8, W48: a child gives a sender away at one server and answers on another."""
        (server0, name0), (server2, name2) = bag.server(), bag.server()
        child = children.start(programs.answer_on_second_server, name0, name2)
        _answer(bag, server0, server2)
        assert child.wait(BOUND) == 0

    @needs_fork
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # no thread takes part
    def test_embedded_senders_fork(self, bag: Bag) -> None:
        """B9: a forked child gives a sender away at one server and answers on another."""
        if sys.platform == "win32":
            pytest.skip("this system has no fork")
        (server0, name0), (server2, name2) = bag.server(), bag.server()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                programs.answer_on_second_server(name0, name2)
                code = 0
            finally:
                os._exit(code)
        try:
            _answer(bag, server0, server2)
        finally:
            _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0

    def test_clone_in_a_child(self, bag: Bag, children: Children) -> None:
        """I20: a sender that another process holds keeps the channel connected."""
        child, (to_child, from_child) = programs.meet(bag, children, programs.hold_sender)
        tx, rx = bag.channel()
        to_child.send(tx)
        tx.close()
        assert from_child.recv() == "held"
        with pytest.raises(Empty):
            rx.try_recv_timeout(0.02)
        to_child.send("let go")
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        assert child.wait(BOUND) == 0

    @pytest.mark.parametrize("how", ["start", "fork"])
    def test_accept_watches_a_child(self, bag: Bag, children: Children, how: str) -> None:
        """I12, W28: accept ends with the child that was to connect, and not before its message
        was seen."""
        begin: Any = children.start if how == "start" else children.fork
        server, name = bag.server()
        with Soon(), pytest.raises(Disconnected, match="exited with status 3"):
            server.accept(BOUND, child=begin(programs.do_not_connect))
        child = begin(programs.say_test_message, name)
        child.wait() if how == "start" else child.join()
        receiver, message = server.accept(BOUND, child=child)
        bag.keep(receiver)
        assert message == "test message"

    def test_accept_does_not_outwait_its_timeout(self, bag: Bag, children: Children) -> None:
        """I12: a child that lives and does not connect costs the timeout."""
        idle_server, idle_name = bag.server()
        child = children.start(programs.hold_sender, idle_name)
        server, _ = bag.server()
        with AtLeast(0.2), Soon(), pytest.raises(Empty):
            server.accept(0.2, child=child)
        rx, tx = idle_server.accept(BOUND, child=child)
        bag.keep(rx)
        bag.keep(tx)
        child.kill()

    def test_child_leaves_after_connecting(self, bag: Bag, children: Children) -> None:
        """I6: a client process that exits without sending is Disconnected, not a hang."""
        server, name = bag.server()
        child = children.start(programs.fail, name)
        with pytest.raises(Disconnected):
            server.accept(BOUND)
        assert child.wait(BOUND) == 3

    def test_received_sender_comes_after_its_giver(self, bag: Bag, children: Children) -> None:
        """D6: in another process too, a received sender sends after everything sent before."""
        child, (to_child, _) = programs.meet(bag, children, programs.use_sender)
        tx, rx = bag.channel()
        for number in range(100):
            tx.send(number)
        to_child.send(tx)
        tx.close()
        assert list(rx) == [*range(100), "from the child"]
        assert child.wait(BOUND) == 0

    def test_receiver_moves_with_its_queue(self, bag: Bag, children: Children) -> None:
        """D5: a receiver takes its queue to another process, and gets later messages there."""
        child, (to_child, from_child) = programs.meet(bag, children, programs.empty_receiver)
        tx, rx = bag.channel()
        expected = [1, b"x" * 300_000, "queued"]
        for message in expected:
            tx.send(message)
        to_child.send(rx)
        tx.send("after the move")
        tx.close()
        assert from_child.recv() == [*expected, "after the move"]
        assert child.wait(BOUND) == 0

    @requires(Capability.SHARED_MEMORY)
    def test_region_is_shared(self, bag: Bag, children: Children) -> None:
        """I75: each process sees the other's writes into a region."""
        child, (to_child, from_child) = programs.meet(bag, children, programs.write_region)
        region = bag.region(bytes(100_000))
        clone = bag.keep(region.clone())
        to_child.send(region)
        assert from_child.recv() == "written"
        assert (region.buffer[0], clone.buffer[0]) == (1, 1)
        clone.buffer_mut()[-1] = 9
        to_child.send("look")
        assert from_child.recv() == 9
        assert child.wait(BOUND) == 0

    @requires(Capability.SHARED_MEMORY)
    def test_region_outlives_its_creator(self, bag: Bag, children: Children) -> None:
        """I76: a region is intact when its creator is gone, also in a third process."""
        child, (_, from_child) = programs.meet(bag, children, programs.make_region)
        assert child.wait(BOUND) == 0
        region = bag.recv(from_child)
        assert bytes(region) == b"made by a process that is gone"
        child, (to_child, from_child) = programs.meet(bag, children, programs.read_region)
        to_child.send(region)
        assert from_child.recv() == b"made by a process that is gone"
        assert child.wait(BOUND) == 0


def _answer(bag: Bag, server0: Any, server2: Any) -> None:
    rx0, tx1 = server0.accept(BOUND)
    bag.keep(rx0)
    bag.keep(tx1).send(PAIR)
    rx2, answer = server2.accept(BOUND)
    bag.keep(rx2)
    assert answer == PAIR
