"""Channels between processes."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from ipc_core.messages.message import copied
from ipc_core.plugins import choice
from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    Capability,
    Disconnected,
    OsIpcOneShotServer,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires, slow
from ipc_core.testing.payloads import MIB, SENTENCE, pattern, same
from ipc_core.testing.programs import transport as programs
from ipc_core.testing.states import state, wait_until


def serve(bag: Bag, backend: Backend) -> tuple[OsIpcOneShotServer, str]:
    """A server and the name that finds it from other processes."""
    server = bag.keep(backend.one_shot_server())
    return server, choice.server_name(backend, "once", server.name)


def accept(bag: Bag, server: OsIpcOneShotServer) -> tuple[Any, Any, list[Any]]:
    receiver, data, attachments = server.accept(30)
    return bag.keep(receiver), copied(data), [bag.keep(attachment) for attachment in attachments]


@each_test(requires(Capability.CROSS_PROCESS))
class TestTransportProcesses:
    def test_transport_cross_process_spawn(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B78: a new process that has only the name sends, and leaves at once."""
        server, name = serve(bag, backend)
        child = children.start(programs.say, name)
        receiver, data, attachments = accept(bag, server)
        assert data == SENTENCE
        assert not attachments
        with pytest.raises(Disconnected):
            receiver.recv(30)
        assert child.wait(30) == 0

    def test_transport_cross_process_fork(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B79: a fork of this process connects by name, and its message is accepted."""
        server, name = serve(bag, backend)
        child = children.fork(programs.say, name)
        receiver, data, _ = accept(bag, server)
        assert data == SENTENCE
        with pytest.raises(Disconnected):
            receiver.recv(30)
        child.join(30)
        assert child.exitcode == 0

    def test_transport_cross_process_without_a_word(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B78: a process that connects and leaves is Disconnected, not waited for."""
        server, name = serve(bag, backend)
        child = children.start(programs.leave, name)
        with pytest.raises(Disconnected):
            server.accept(30)
        assert child.wait(30) == 0

    @pytest.mark.parametrize("fork", [False, True], ids=["spawn", "fork"])
    def test_transport_cross_process_sender_transfer(
        self, bag: Bag, backend: Backend, children: Children, fork: bool
    ) -> None:
        """B80-B81: a sender made by the child works here; the accepted receiver goes on."""
        server, name = serve(bag, backend)
        begin: Any = children.fork if fork else children.start
        begin(programs.swap_senders, name)
        receiver, data, (sender,) = accept(bag, server)
        assert data == b"foo"
        sender.send(b"baz")
        assert receiver.recv(30)[0] == b"bar"

    @pytest.mark.parametrize("payload", [b"cookie", pattern(MIB)], ids=["small", "large"])
    def test_transport_cross_process_two_step_transfer(
        self, bag: Bag, backend: Backend, children: Children, payload: bytes
    ) -> None:
        """B95: a receiver in a receiver's queue keeps the messages queued before it moved."""
        one_tx, one_rx = bag.os_channel(backend)
        two_tx, two_rx = bag.os_channel(backend)
        one_tx.send(payload)
        two_tx.send(b"", [one_rx])
        server, name = serve(bag, backend)
        child = children.start(programs.take_cookie, name)
        receiver, _, (sender,) = accept(bag, server)
        sender.send(b"", [two_rx])
        data, attachments = bag.os_recv(receiver)
        assert same(data, payload)
        assert not attachments
        assert child.wait(30) == 0

    def test_transport_receiver_set_eintr(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B69: a select in a process that is stopped and continued goes on to wait."""
        if sys.platform == "win32":
            pytest.skip("this system stops no process by a signal")
        server, name = serve(bag, backend)
        child = children.fork(programs.select_interrupted, name)
        receiver, data, (sender,) = accept(bag, server)
        assert data == b" Ready! "
        wait_until(lambda: state(child.pid) in "S?", "the child waits")
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: os.waitpid(child.pid, os.WUNTRACED | os.WNOHANG)[0], "the child stops")
        os.kill(child.pid, signal.SIGCONT)
        wait_until(lambda: state(child.pid) in "S?", "the child waits again")
        sender.send(b"Test")
        assert receiver.recv(30)[0] == b"Success!"
        child.join(30)
        assert child.exitcode == 0

    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("count", [10, 10_000])
    def test_transport_queue_moves_to_another_process(
        self, bag: Bag, backend: Backend, children: Children, count: int
    ) -> None:
        """B95: a long queue moves with its receiver, in order and with its attachments, and its
        sender, which stays, goes on."""
        tx, moved = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        for number in range(count):
            tx.send(b"%d" % number, [sub_tx] if number == count // 2 else ())
        assert moved.recv(30)[0] == b"0"
        server, name = serve(bag, backend)
        children.start(programs.relay, name)
        receiver, _, (sender,) = accept(bag, server)
        sender.send(b"", [moved])
        tx.send(pattern(MIB))
        tx.close()
        for number in range(1, count):
            data, attachments = bag.os_recv(receiver)
            assert data == b"%d" % number
            if number == count // 2:
                attachments[0].send(b"sub")
                assert sub_rx.recv(30)[0] == b"sub"
        assert same(receiver.recv(30)[0], pattern(MIB))
        with pytest.raises(Disconnected):
            receiver.recv(30)

    @requires(Capability.SHARED_MEMORY)
    @pytest.mark.parametrize("size", [0, 1, MIB])
    def test_transport_shared_memory_across_processes(
        self, bag: Bag, backend: Backend, children: Children, size: int
    ) -> None:
        """B86: another process writes into a region; its own region outlives it."""
        region = bag.keep(backend.shared_memory(pattern(size)))
        server, name = serve(bag, backend)
        child = children.start(programs.write_region, name)
        receiver, _, (sender,) = accept(bag, server)
        sender.send(b"", [region])
        data, (made,) = bag.os_recv(receiver)
        assert data == b"written"
        assert child.wait(30) == 0
        assert same(region.buffer, pattern(size, flag=0x80))
        assert same(made.buffer, pattern(MIB))


@each_test(requires(Capability.CROSS_PROCESS))
class TestTransportDeaths:
    @slow
    @requires(Capability.OUTLIVES_SENDER, Capability.UNBOUNDED)
    @pytest.mark.parametrize("end", ["kill", "exit", "close"])
    def test_transport_messages_outlive_their_sender(
        self, bag: Bag, backend: Backend, children: Children, end: str
    ) -> None:
        """B77, B95: all that a process sent before it was killed, or ended without clean-up,
        arrives although nobody received while it lived."""
        server, name = serve(bag, backend)
        child = children.start(programs.fill, name, end)
        child.wait(60)
        receiver, data, attachments = accept(bag, server)
        for number in range(programs.MANY):
            assert data == b"%d" % number
            assert len(attachments) == (number % 10_000 == 9999)
            for inner in attachments:
                assert inner.recv(30)[0] == b"inside %d" % number
                with pytest.raises(Disconnected):
                    inner.recv(30)
            data, attachments = bag.os_recv(receiver)
        assert same(data, pattern(MIB))
        with pytest.raises(Disconnected):
            receiver.recv(30)

    def test_transport_killed_in_the_middle(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B82: a process killed while it sends leaves whole messages and then Disconnected."""
        for rounds in (1, 30, 200):
            server, name = serve(bag, backend)
            child = children.start(programs.stream, name)
            receiver, data, _ = accept(bag, server)
            following = 0
            while True:
                number = int(bytes(data[:8]))
                assert number == following
                assert same(data[8:], pattern(number * 997 % 60_000))
                following += 1
                if following == rounds:
                    child.kill()
                    child.wait(30)
                try:
                    data, _ = bag.os_recv(receiver)
                except Disconnected:
                    break
            assert following >= rounds

    def test_transport_dead_process_releases_its_ends(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B82-B84: the ends of a killed process are gone, and others on the same channel go on."""
        server, name = serve(bag, backend)
        children.start(programs.hold, name)
        receiver, _, (sender,) = accept(bag, server)
        moved_tx, moved_rx = bag.os_channel(backend)
        lent_tx, lent_rx = bag.os_channel(backend)
        shared_tx, shared_rx = bag.os_channel(backend)
        moved_tx.send(b"unread")
        sender.send(b"", [moved_rx, lent_tx, shared_tx])
        lent_tx.close()
        assert receiver.recv(30)[0] == b"holding"
        assert not moved_tx.wait_closed(0)
        sender.send(b"die")
        assert moved_tx.wait_closed(30)
        with pytest.raises(BrokenChannelError):
            moved_tx.send(SENTENCE)
        assert sender.wait_closed(30)
        for end in (lent_rx, receiver):
            with pytest.raises(Disconnected):
                end.recv(30)
        shared_tx.send(b"goes on")
        assert shared_rx.recv(30)[0] == b"goes on"

    @requires(Capability.UNBOUNDED)
    def test_transport_killed_sender_leaves_others_alone(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """B82: a sender in another process that is killed does not disturb one in this."""
        server, name = serve(bag, backend)
        child = children.start(programs.stream, name)
        receiver, _, _ = accept(bag, server)
        members = bag.keep(backend.receiver_set())
        tx, rx = bag.os_channel(backend)
        members.add(receiver, 1)
        members.add(rx, 2)
        mine = 0
        theirs = 0
        while True:
            tx.send(b"%d" % mine)
            mine += 1
            results = members.select(30)
            theirs += sum(id == 1 for id, _, _ in results)
            if (1, None, ()) in results:
                break
            if theirs > 100 and child.poll() is None:
                child.kill()
                child.wait(30)
        members.remove(2).close()
        with pytest.raises(BrokenChannelError):
            tx.send(b"")
