"""One-shot servers: one client, once."""

from __future__ import annotations

import threading
from math import log2
from typing import Any

import pytest

from ipc_core.plugins import choice
from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    ClosedError,
    Disconnected,
    Empty,
    IpcIOError,
    OsIpcReceiver,
    OsIpcSender,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.payloads import MIB, SENTENCE, pattern, same
from ipc_core.testing.timing import AtLeast, Soon


class TestTransportServer:
    @pytest.mark.threads
    def test_transport_server_accept_first(self, bag: Bag, backend: Backend) -> None:
        """B76: a server that waits gets the first message of the client that comes."""
        server = bag.keep(backend.one_shot_server())
        accepting = bag.thread(server.accept, None)
        accepting.wait_until_asleep()
        bag.keep(backend.connect(server.name)).send(SENTENCE)
        receiver, data, attachments = accepting.result()
        bag.keep(receiver)
        assert data == SENTENCE
        assert not attachments

    @pytest.mark.threads
    def test_transport_server_connect_first(self, bag: Bag, backend: Backend) -> None:
        """B77: a client's message is accepted although the client is gone."""
        server = bag.keep(backend.one_shot_server())

        def visit() -> None:
            tx = backend.connect(server.name)
            tx.send(SENTENCE)
            tx.close()

        bag.thread(visit).result()
        receiver, data, _ = server.accept(30)
        bag.keep(receiver)
        assert data == SENTENCE
        with pytest.raises(Disconnected):
            receiver.recv(30)

    def test_transport_server_accepts_what_is_queued(self, bag: Bag, backend: Backend) -> None:
        """B77: all that the client sent before it was accepted comes in order."""
        tx, receiver = met(bag, backend, 1000)
        for number in range(1, 1000):
            assert bag.os_recv(receiver)[0] == b"%d" % number
        tx.send(b"later")
        assert bag.os_recv(receiver)[0] == b"later"

    @pytest.mark.parametrize("size", [0, 20_000, MIB])
    def test_transport_server_first_message_of_any_kind(
        self, bag: Bag, backend: Backend, size: int
    ) -> None:
        """B80: the first message may be empty or large, and have attachments."""
        server = bag.keep(backend.one_shot_server())
        sub_tx, sub_rx = bag.os_channel(backend)
        bag.keep(backend.connect(server.name)).send(pattern(size), [sub_tx])
        receiver, data, (sender,) = server.accept(30)
        bag.keep(receiver)
        assert same(data, pattern(size))
        bag.keep(sender).send(b"sub")  # type: ignore[union-attr]
        assert bag.os_recv(sub_rx)[0] == b"sub"

    def test_transport_server_ends_are_ordinary(self, bag: Bag, backend: Backend) -> None:
        """B80: the ends of a channel made by a server clone, travel and are selected as others."""
        tx, receiver = met(bag, backend)
        outer_tx, outer_rx = bag.os_channel(backend)
        clone = tx.clone()
        outer_tx.send(b"", [clone, receiver])
        clone.close()
        tx.close()
        _, (sender, moved) = bag.os_recv(outer_rx)
        members = bag.keep(backend.receiver_set())
        members.add(moved, 1)
        sender.send(SENTENCE)
        assert [data for _, data, _ in members.select(30)] == [SENTENCE]
        sender.close()
        assert [(id, data) for id, data, _ in members.select(30)] == [(1, None)]

    def test_transport_server_timeout(self, bag: Bag, backend: Backend) -> None:
        """B76: `accept` says Empty when nobody comes, or nothing is sent, and can be repeated."""
        server = bag.keep(backend.one_shot_server())
        for timeout in (0, 0.02):
            with AtLeast(timeout), pytest.raises(Empty):
                server.accept(timeout)
        tx = bag.keep(backend.connect(server.name))
        for timeout in (0, 0.02):
            with AtLeast(timeout), pytest.raises(Empty):
                server.accept(timeout)
        tx.send(SENTENCE)
        receiver, data, _ = server.accept(30)
        bag.keep(receiver)
        assert data == SENTENCE

    def test_transport_server_client_leaves(self, bag: Bag, backend: Backend) -> None:
        """B77: a client that left without a message is Disconnected."""
        server = bag.keep(backend.one_shot_server())
        backend.connect(server.name).close()
        with pytest.raises(Disconnected):
            server.accept(30)

    @pytest.mark.parametrize("when", ["connected", "accepted"])
    def test_transport_server_refuses_a_second_client(
        self, bag: Bag, backend: Backend, when: str
    ) -> None:
        """B76: only one client can connect; the next is refused at once, the first unharmed."""
        server = bag.keep(backend.one_shot_server())
        tx = bag.keep(backend.connect(server.name))
        if when == "accepted":
            tx.send(b"first")
            bag.keep(server.accept(30)[0]).close()
        with Soon(), pytest.raises(IpcIOError):
            bag.keep(backend.connect(server.name))
        if when == "connected":
            tx.send(b"first")
            receiver, data, _ = server.accept(30)
            bag.keep(receiver)
            assert data == b"first"

    @pytest.mark.threads
    def test_transport_server_clients_race(self, bag: Bag, backend: Backend) -> None:
        """B76: exactly one of many clients that connect at once succeeds, and is accepted."""
        for _ in range(20):
            server = bag.keep(backend.one_shot_server())
            start = threading.Barrier(4)

            def connect(number: int, name: str, start: Any) -> bool:
                start.wait(10)
                try:
                    tx = backend.connect(name)
                except IpcIOError:
                    return False
                tx.send(b"%d" % number)
                tx.close()
                return True

            clients = [bag.thread(connect, number, server.name, start) for number in range(4)]
            connected = [number for number, thread in enumerate(clients) if thread.result()]
            assert len(connected) == 1
            receiver, data, _ = server.accept(30)
            receiver.close()
            assert data == b"%d" % connected[0]

    def test_transport_server_accepts_once(self, bag: Bag, backend: Backend) -> None:
        """B76: a second `accept` is refused, and closing the server does not hurt the channel."""
        server = bag.keep(backend.one_shot_server())
        tx = bag.keep(backend.connect(server.name))
        tx.send(SENTENCE)
        receiver = bag.keep(server.accept(30)[0])
        for timeout in (0, None):
            with pytest.raises(ClosedError):
                server.accept(timeout)
        server.close()
        server.close()
        tx.send(b"still")
        assert bag.os_recv(receiver)[0] == b"still"

    def test_transport_server_closed(self, bag: Bag, backend: Backend) -> None:
        """B76: nobody can connect to, or accept from, a closed server."""
        server = bag.keep(backend.one_shot_server())
        name = server.name
        server.close()
        server.close()
        with pytest.raises(ClosedError):
            server.accept(None)
        with Soon(), pytest.raises(IpcIOError):
            bag.keep(backend.connect(name))

    @pytest.mark.parametrize("sent", [0, 1])
    def test_transport_server_closed_with_a_client(
        self, bag: Bag, backend: Backend, sent: int
    ) -> None:
        """B83: a client that was never accepted finds its channel broken."""
        server = bag.keep(backend.one_shot_server())
        tx = bag.keep(backend.connect(server.name))
        for _ in range(sent):
            tx.send(SENTENCE)
        server.close()
        assert tx.wait_closed(30)
        with pytest.raises(BrokenChannelError):
            tx.send(SENTENCE)

    @pytest.mark.threads
    @pytest.mark.parametrize("connected", [False, True])
    @pytest.mark.parametrize("timeout", [None, 30])
    def test_transport_server_close_wakes_accept(
        self, bag: Bag, backend: Backend, timeout: float | None, connected: bool
    ) -> None:
        """B76: `close` ends an `accept` in another thread with ClosedError, with a silent client
        or without."""
        server = bag.keep(backend.one_shot_server())
        if connected:
            bag.keep(backend.connect(server.name))
        accepting = bag.thread(server.accept, timeout)
        accepting.wait_until_asleep()
        with Soon():
            server.close()
            with pytest.raises(ClosedError):
                accepting.result()

    def test_transport_server_names(self, bag: Bag, backend: Backend) -> None:
        """B78: names are different each time, long enough not to be guessed, and fit in an
        argument together with the backend's name."""
        servers = [bag.keep(backend.one_shot_server()) for _ in range(10)]
        names = {server.name for server in servers}
        assert len(names) == 10
        for name in names:
            assert len(name) >= 16
            assert name.isprintable()
            public = choice.server_name(backend, "once", name)
            assert choice.find_server(public, "once") == (backend, name)

    def test_transport_server_names_cannot_be_guessed(self, bag: Bag, backend: Backend) -> None:
        """B78: the part of a name that changes each time is worth 48 bits or more: a clock, a
        counter or the number of a process is not."""
        names = []
        for _ in range(64):
            server = bag.keep(backend.one_shot_server())
            names.append(server.name)
            server.close()
        bits = sum(log2(len(set(letters))) for letters in zip(*names, strict=False))
        assert bits >= 48, f"names such as {names[:3]} differ by {bits:.0f} bits"

    def test_transport_server_unknown_name(self, bag: Bag, backend: Backend) -> None:
        """B76: a name that no server has, or is no name at all, is an IpcIOError at once."""
        server = backend.one_shot_server()
        server.close()
        for name in (server.name, server.name[:-1] + "x", server.name + "x" * 300, "nobody", "x/y"):
            with Soon(), pytest.raises(IpcIOError):
                bag.keep(backend.connect(name))


def met(bag: Bag, backend: Backend, messages: int = 1) -> tuple[OsIpcSender, OsIpcReceiver]:
    """Both ends of a channel that a server made, after the first of numbered messages."""
    server = bag.keep(backend.one_shot_server())
    tx = bag.keep(backend.connect(server.name))
    for number in range(messages):
        tx.send(b"%d" % number)
    receiver, data, _ = server.accept(30)
    assert data == b"0"
    return tx, bag.keep(receiver)
