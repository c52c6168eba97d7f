"""Peers whose attack takes more than one message."""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
import threading
from contextlib import closing, suppress

import pytest
from hostile_peer import (
    LAST,
    PLAIN_RECORD,
    SECONDS,
    SO_PASSPIDFD,
    Attacked,
    Peer,
    record,
    use,
)
from ipc_backend_unix import wire
from ipc_backend_unix.descriptors import send_packet

import ipc_core
from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    DecodeError,
    Disconnected,
    Empty,
    IpcIOError,
)
from ipc_core.testing.level import descriptors
from ipc_core.testing.timing import Soon

SENDER, RECEIVER = 1, 2


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_one_sender_shuts_the_channel_down(attacked: Attacked, how: int) -> None:
    """The channel ends for all: sent messages arrive, and empty packets are no endless errors."""
    tx, rx, peer = attacked
    tx.send(b"sent before")
    peer.sock.shutdown(how)
    assert rx.recv(1)[0] == b"sent before"
    with pytest.raises(Disconnected):
        rx.recv(1)
    with pytest.raises(BrokenChannelError):
        tx.send(b"sent after")


@pytest.mark.parametrize("described", [False, True], ids=["in garbage", "as a sender"])
def test_a_network_socket_that_would_linger(attacked: Attacked, described: bool) -> None:
    """Closing the socket would wait for the attacker to read its content."""
    _, rx, peer = attacked
    listener = peer.enter_context(socket.create_server(("127.0.0.1", 0)))
    with socket.create_connection(listener.getsockname()) as full:
        peer.enter_context(listener.accept()[0])
        full.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                full.send(bytes(1 << 16))
        full.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 15))
        full.setblocking(True)
        if described:
            peer.attach(SENDER, [full.fileno()])
        else:
            peer.packet(b"garbage!", [full.fileno()])
    with Soon(), pytest.raises(DecodeError):
        rx.recv(1)
    attacked.check_usable()


def test_empty_packets_before_the_end(attacked: Attacked) -> None:
    tx, rx, peer = attacked
    peer.packet(b"")
    tx.send(LAST)
    peer.close()
    tx.close()
    with pytest.raises(DecodeError):
        rx.recv(1)
    assert rx.recv(1)[0] == LAST
    with pytest.raises(Disconnected):
        rx.recv(1)


def test_sockets_that_deliver_process_descriptors(attacked: Attacked) -> None:
    """With SO_PASSPIDFD the kernel adds a descriptor to each packet. A peer that gives a socket
    away can set it at any time."""
    _, rx, peer = attacked
    writer, reader = peer.sockets()
    try:
        reader.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
    except OSError:
        pytest.skip("this kernel has no SO_PASSPIDFD")
    peer.attach(RECEIVER, [reader.fileno()])
    (given,) = rx.recv(1)[1]
    attached = peer.a_socket()
    with closing(given):
        before = descriptors()
        for _ in range(5):
            send_packet(writer, [wire.PLAIN + b"message"])
            assert given.recv(1)[0] == b"message"  # type: ignore[union-attr]
        send_packet(
            writer,
            [wire.pack(0, [(SENDER, 1, 0)]) + b"more"],
            [attached],
        )
        data, (sender,) = given.recv(1)  # type: ignore[union-attr]
        assert data == b"more"
        sender.close()
        assert descriptors() == before
    attacked.check_usable()


def test_the_receiver_of_the_channel_itself(attacked: Attacked) -> None:
    tx, rx, peer = attacked
    peer.attach(RECEIVER, [rx.socket.fileno()])  # type: ignore[attr-defined]
    (again,) = rx.recv(1)[1]
    tx.send(b"for either")
    assert again.recv(1)[0] == b"for either"  # type: ignore[union-attr]
    again.close()
    attacked.check_usable()


@pytest.mark.parametrize("depth", [1, 3, 20])
def test_sockets_in_sockets_are_freed(attacked: Attacked, depth: int) -> None:
    """The descriptors inside a refused descriptor are freed by the kernel."""
    _, rx, peer = attacked
    inside, innermost = os.pipe()
    peer.own(inside)
    for _ in range(depth):
        writer, reader = peer.sockets()
        send_packet(writer, [b"x"], [innermost])
        os.close(innermost)
        innermost = os.dup(reader.fileno())
        writer.close()
        reader.close()
    peer.frame(0, [(9, 1, 0)], fds=[innermost])
    os.close(innermost)
    with pytest.raises(DecodeError):
        rx.recv(1)
    assert select.select([inside], [], [], SECONDS)[0]
    assert os.read(inside, 1) == b""
    attacked.check_usable()


def test_descriptors_in_several_control_messages(attacked: Attacked) -> None:
    _, rx, peer = attacked
    fds = [peer.a_socket() for _ in range(254)]
    with pytest.raises(OSError, match="Invalid"):
        peer.packet(wire.PLAIN, fds)
    part = b"".join(fd.to_bytes(4, "little") for fd in fds[:100])
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, part)
    peer.sock.sendmsg([wire.PLAIN], [rights, rights])
    with pytest.raises(DecodeError, match="200"):
        rx.recv(1)
    attacked.check_usable()


def test_messages_that_failed_leave_no_descriptors_behind(attacked: Attacked) -> None:
    """A sender whose log has no room for a record has put its descriptors into the queue: a
    reader does not have to tell them from those of a queue that never ends."""
    tx, rx, _ = attacked
    count = 0
    while tx._writer.log is None:  # type: ignore[attr-defined]
        tx.send(b"fill", [tx])
        count += 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        for _ in range(5):
            with pytest.raises(IpcIOError):
                tx.send(bytes(20_000), [tx] * 3)
            tx.send(b"fill", [tx])
            count += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for _ in range(count):
        data, (sender,) = rx.recv(1)
        assert data == b"fill"
        sender.close()
    with pytest.raises(Empty):
        rx.recv(0)


def test_a_router_reports_and_goes_on(level_unix: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reports.append(args.exc_type))
    hostile_tx, hostile_rx = ipc_core.bytes_channel(backend="unix")
    good_tx, good_rx = ipc_core.bytes_channel(backend="unix")
    with ipc_core.Router() as router, closing(hostile_tx), closing(good_tx):
        hostile, good = router.route_to_queue(hostile_rx), router.route_to_queue(good_rx)
        with Peer(hostile_tx._handle._writer.sock.fileno()) as peer:
            for _ in range(20):
                peer.packet(b"garbage")
                peer.switch(b"")
                peer.attach(9, [peer.a_socket()])
                good_tx.send(b"undisturbed")
                assert good.get(timeout=SECONDS) == b"undisturbed"
            hostile_tx.send(LAST)
            assert hostile.get(timeout=SECONDS) == LAST
    assert reports == [DecodeError] * 60


def test_a_receiver_that_came_with_hostile_bytes(attacked: Attacked) -> None:
    """The messages of an attacker's own receiver are errors where they are read."""
    _, rx, peer = attacked
    writer, reader = peer.sockets()
    send_packet(writer, [b"garbage"])
    peer.attach(RECEIVER, [reader.fileno(), peer.memory(record(b"garbage!") + PLAIN_RECORD)])
    (given,) = rx.recv(1)[1]
    with closing(given):
        with pytest.raises(DecodeError):
            given.recv(0)  # type: ignore[union-attr]
        assert given.recv(0)[0] == b"in the log"  # type: ignore[union-attr]
        use(given)
    attacked.check_usable()
