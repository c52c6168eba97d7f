"""One-shot servers inside one process."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from ipc_core import (
    BrokenChannelError,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    IpcBytesSender,
    IpcIOError,
    IpcOneShotServer,
    IpcSender,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import drops
from ipc_core.testing.timing import AtLeast
from ipc_core.testing.waiting import BOUND, SOON, collect, still_waits


class TestOneShotServer:
    def test_in_one_thread(self, bag: Bag) -> None:
        """D9: connect, send and accept work in this order in a single thread."""
        server, name = bag.server()
        bag.connect(name).send(b"1234")
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        assert first == b"1234"

    def test_first_message_is_a_sender(self, bag: Bag) -> None:
        """D10: the first message can carry a sender, which works."""
        server, name = bag.server()
        tx, rx = bag.channel()
        bag.connect(name).send(tx)
        accepted, first = server.accept(BOUND)
        bag.keep(accepted)
        bag.keep(first).send(b"123456")
        assert rx.recv() == b"123456"

    def test_second_connect(self, bag: Bag) -> None:
        """I1: a second client is refused, soon and clearly; the first is served."""
        server, name = bag.server()
        client = bag.connect(name)
        started = time.monotonic()
        with pytest.raises(IpcIOError):
            bag.connect(name)
        assert time.monotonic() - started < SOON
        client.send("the first")
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        assert first == "the first"

    def test_connect_after_accept(self, bag: Bag) -> None:
        """I2: a name that was used is refused."""
        server, name = bag.server()
        bag.connect(name).send(1)
        rx, _ = server.accept(BOUND)
        bag.keep(rx)
        with pytest.raises(IpcIOError):
            bag.connect(name)

    def test_wrong_names(self, bag: Bag) -> None:
        """I3: a text that is no server's name is refused, and harms nothing."""
        server, name = bag.server()
        prefix = name.partition(":")[0]
        before = descriptors()
        for wrong in ("", "\0", f"{name}\0", "nonsense", f"{prefix}:", f"{prefix}:{'x' * 500}"):
            for kind in (IpcSender[Any], IpcBytesSender):
                with pytest.raises((IpcIOError, ValueError)):
                    kind.connect(wrong)
        with pytest.raises(IpcIOError):
            bag.connect(name[:-1] + ("a" if name[-1] != "a" else "b"))
        assert descriptors() == before
        bag.connect(name).send("still here")
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        assert first == "still here"

    def test_wrong_kind_of_name(self, bag: Bag) -> None:
        """I3: the name of another kind of server is a clear ValueError."""
        _, name = bag.server()
        with pytest.raises(ValueError, match="serve"):
            bag.connect(name.replace("+once:", "+serve:"))

    def test_names_are_unique(self, bag: Bag) -> None:
        """I4: a thousand servers have different names of plain text."""
        names: set[str] = set()
        for _ in range(5):
            servers = [IpcOneShotServer[Any]() for _ in range(200)]
            names.update(server.name for server in servers)
            for server in servers:
                server.close()
        assert len(names) == 1000
        for name in names:
            assert name.isascii()
            assert name.isprintable()
            assert " " not in name

    def test_closed_unused(self, bag: Bag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """I5: a server closed without a client leaves no files, and its name is refused."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        server, name = bag.server()
        server.close()
        server.close()
        assert os.listdir(tmp_path) == []
        with pytest.raises(IpcIOError):
            bag.connect(name)
        with pytest.raises(ClosedError):
            server.accept(0)

    def test_closed_with_a_client(self, bag: Bag) -> None:
        """I5: a client that has connected to a server that is closed finds its channel broken."""
        server, name = bag.server()
        client = bag.connect(name)
        with server:
            pass
        assert client.wait_closed(BOUND)
        with pytest.raises(BrokenChannelError):
            client.send(1)

    @drops
    def test_dropped(self, bag: Bag) -> None:
        """I5: dropping the last reference to a server gives up its name."""
        server, name = IpcOneShotServer[Any].new()
        del server
        with pytest.raises(IpcIOError):
            bag.connect(name)

    def test_client_leaves_without_a_word(self, bag: Bag) -> None:
        """I6: accept is Disconnected when the client left without sending."""
        server, name = bag.server()
        bag.connect(name).close()
        with pytest.raises(Disconnected):
            server.accept(BOUND)

    def test_accept_waits_for_the_first_message(self, bag: Bag) -> None:
        """I7, I12: accept is Empty while the client has not sent, and works when it has."""
        server, name = bag.server()
        with AtLeast(0.02), pytest.raises(Empty):
            server.accept(0.02)
        client = bag.connect(name)
        with AtLeast(0.02), pytest.raises(Empty):
            server.accept(0.02)
        with pytest.raises(Empty):
            server.accept(0)
        client.send("at last")
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        assert first == "at last"

    @pytest.mark.threads
    def test_blocked_accept(self, bag: Bag) -> None:
        """I7: a blocked accept returns when the client, which came first, sends."""
        server, name = bag.server()
        worker = bag.thread(server.accept)
        assert still_waits(worker)
        client = bag.connect(name)
        assert still_waits(worker)
        client.send(7)
        rx, first = worker.result()
        bag.keep(rx)
        assert first == 7

    @pytest.mark.threads
    def test_close_during_accept(self, bag: Bag) -> None:
        """I105: closing a server wakes an accept in another thread with ClosedError."""
        server, _ = bag.server()
        worker = bag.thread(server.accept)
        assert still_waits(worker)
        server.close()
        with pytest.raises(ClosedError):
            worker.result()

    def test_large_first_message(self, bag: Bag) -> None:
        """I8: a first message of 1 MiB with three senders arrives whole."""
        server, name = bag.server()
        ends = [bag.channel() for _ in range(3)]
        client = bag.connect(name)
        text = bytes(range(256)) * 4096
        client.send((text, [tx for tx, _ in ends]))
        rx, (received, senders) = server.accept(BOUND)
        bag.keep(rx)
        for number, tx in enumerate(senders):
            bag.keep(tx).send(number)
        assert received == text
        assert [end.recv() for _, end in ends] == [0, 1, 2]

    def test_accept_twice(self, bag: Bag) -> None:
        """I9: a server that has accepted says so to a second accept."""
        server, name = bag.server()
        bag.connect(name).send(1)
        rx, _ = server.accept(BOUND)
        bag.keep(rx)
        with pytest.raises(ClosedError):
            server.accept()
        assert name == server.name

    def test_returned_receiver(self, bag: Bag) -> None:
        """I10: the returned receiver is like any other: it is sent, added, and drained."""
        server, name = bag.server()
        client = bag.connect(name)
        for number in range(101):
            client.send(number)
        rx, first = server.accept(BOUND)
        carrier_tx, carrier_rx = bag.channel()
        carrier_tx.send(rx)
        receivers = bag.receiver_set()
        id = receivers.add(bag.recv(carrier_rx))
        client.close()
        messages, closed = collect(receivers, 101)
        assert first == 0
        assert messages == [(id, number) for number in range(1, 101)]
        assert closed == [id]

    def test_first_message_does_not_decode(self, bag: Bag) -> None:
        """I11: accept raises DecodeError for a bad first message and frees everything."""
        server, name = bag.server()
        client = bag.keep(IpcBytesSender.connect(name))
        client.send(b"not a pickle")
        with pytest.raises(DecodeError):
            server.accept(BOUND)
        assert client.wait_closed(BOUND)
