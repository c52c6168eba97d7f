"""Messages that no sender here would send: an error for each, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest
from hostile_cases import BAD, CASES, GOOD, REGION, Case
from hostile_peer import (
    CONTINUED,
    LAST,
    PLAIN_RECORD,
    STRANGE,
    Peer,
    bounded,
    mapped,
    outcomes,
)
from ipc_backend_unix import wire
from ipc_backend_unix.server_folder import WAITING

from ipc_core.messages.message import copied
from ipc_core.spi import Backend, OsIpcSender
from ipc_core.testing.level import descriptors


def judge(
    case: Case,
    peer: Peer,
    tx: OsIpcSender,
    recv: Callable[[], tuple[Any, Sequence[Any]]],
    read: Callable[[Any], bytes] = copied,
) -> None:
    """Attack; then the receiver reports it, holds nothing of it, and serves its other senders."""
    attack, expected = case
    with peer:
        attack(peer)
        tx.send(LAST, [tx])
        before = descriptors()
        with bounded():
            assert outcomes(recv, LAST, read) == expected
        assert descriptors() == before, "kept a descriptor, or closed a stranger's"


def received(case: Case, unix: Backend, read: Callable[[Any], bytes] = copied) -> None:
    tx, rx = unix.channel()
    with closing(tx), closing(rx):
        judge(case, Peer.beside(tx), tx, lambda: rx.recv(5), read)


def received_to_map(case: Case, unix: Backend) -> None:
    received(case, unix, mapped)


def selected(case: Case, unix: Backend) -> None:
    """An attack in a set whose other member has messages all the time."""
    tx, rx = unix.channel()
    other_tx, other_rx = unix.channel()
    group = unix.receiver_set()
    group.add(rx, 1)
    group.add(other_rx, 2)

    waiting: list[tuple[Any, Sequence[Any]]] = []

    def select() -> tuple[Any, Sequence[Any]]:
        other_tx.send(b"undisturbed")
        undisturbed = False
        while not (undisturbed and waiting):
            for id, data, attachments in group.select(5):
                if id == 2:
                    assert data == b"undisturbed"
                    undisturbed = True
                else:
                    waiting.append((data, attachments))
        data, attachments = waiting.pop(0)
        if isinstance(data, Exception):
            raise data
        return data, attachments

    with closing(tx), closing(other_tx), closing(group):
        judge(case, Peer.beside(tx), tx, select)


def accepted(case: Case, unix: Backend) -> None:
    """An attack as the first message to a one-shot server."""
    server = unix.one_shot_server()
    with closing(server), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(f"{server.name}/{WAITING}")
        with Peer(sock.fileno()) as peer:
            attack, expected = case
            attack(peer)
            before = descriptors()
            peer.packet(wire.PLAIN + LAST)
            with bounded():
                first, *_ = [*expected, LAST]
                if isinstance(first, bytes):
                    receiver, data, attachments = server.accept(5)
                    assert copied(data) == first
                    for handle in (receiver, *attachments):
                        handle.close()
                else:
                    with pytest.raises(first):
                        copied(server.accept(5)[1])
                    server.close()
            # The server's listener, its event, and nothing for the client.
            assert descriptors() == before - 2


@pytest.mark.parametrize("way", [received, received_to_map, selected, accepted])
@pytest.mark.parametrize("name", CASES)
def test_hostile_messages(
    level_unix: Backend, name: str, way: Callable[[Case, Backend], None]
) -> None:
    """W29: whatever a packet says of itself, it is an error for that packet alone."""
    way(CASES[name], level_unix)


ROLES: dict[str, Callable[[Peer, int], None]] = {
    "sender": lambda peer, fd: peer.attach(1, [fd]),
    "receiver": lambda peer, fd: peer.attach(2, [fd]),
    "receiver's log": lambda peer, fd: peer.attach(2, [peer.a_socket(), fd]),
    "receiver's queue": lambda peer, fd: peer.attach(
        2, [peer.a_socket(), peer.memory(PLAIN_RECORD), fd]
    ),
    "region": lambda peer, fd: peer.attach(REGION, [fd], 4096),
    "payload": lambda peer, fd: peer.in_memory(4096, fd),
    "log": lambda peer, fd: peer.frame(wire.SWITCH, fds=[fd]),
    "log's queue": lambda peer, fd: peer.switch(PLAIN_RECORD, fd),
    "queue": lambda peer, fd: peer.queued(1, fd),
    "continued queue": lambda peer, fd: peer.queued(1, peer.queue((CONTINUED, [fd]))),
}

FITS = {
    ("sender", "a channel"): GOOD,
    ("receiver", "a channel"): GOOD,
    ("receiver's log", "empty memory"): GOOD,
    ("receiver's queue", "a channel"): GOOD,
    ("receiver's log", "memory to write"): GOOD,
    ("region", "sparse memory"): GOOD,
    ("region", "memory to write"): GOOD,
    ("payload", "memory to read"): [b"m" * 4096],
    ("payload", "sealed seals"): [b"s" * 4096],
    ("payload", "tmpfs file"): [bytes(4096)],
    ("log's queue", "a channel"): [b"in the log"],
}


@pytest.mark.parametrize("way", [received, received_to_map])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("what", STRANGE)
def test_strange_descriptors(
    level_unix: Backend, what: str, role: str, way: Callable[[Case, Backend], None]
) -> None:
    """W32: whatever a descriptor is, it is refused at once and closed."""
    expected = FITS.get((role, what), BAD)
    way((lambda peer: ROLES[role](peer, STRANGE[what](peer)), expected), level_unix)
