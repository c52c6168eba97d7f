"""Programs of the transport tests' child processes. Each is given a one-shot server's name."""

from __future__ import annotations

import os
import signal
from typing import Any

from ipc_core.messages.message import copied
from ipc_core.plugins import choice
from ipc_core.spi import Backend, Disconnected
from ipc_core.testing.payloads import MIB, SENTENCE, pattern

MANY = 30_000
"""Messages that a program sends before it dies: more than any system buffer holds."""


def connect(name: str) -> tuple[Backend, Any]:
    """The backend of a public server name, and a sender to that server."""
    backend, address = choice.find_server(name, "once")
    return backend, backend.connect(address)


def meet(name: str) -> tuple[Backend, Any, Any]:
    """Hand out a sender; return the sender to the server, and the receiver of the replies."""
    backend, tx = connect(name)
    sub_tx, sub_rx = backend.channel()
    tx.send(b"", [sub_tx])
    sub_tx.close()
    return backend, tx, sub_rx


def say(name: str) -> None:
    """Send one message and leave at once."""
    connect(name)[1].send(SENTENCE)


def leave(name: str) -> None:
    """Connect and leave without a message."""
    connect(name)


def swap_senders(name: str) -> None:
    """Send a sender; wait for a message on its channel; answer."""
    backend, tx = connect(name)
    sub_tx, sub_rx = backend.channel()
    tx.send(b"foo", [sub_tx])
    assert sub_rx.recv(30)[0] == b"baz"
    tx.send(b"bar")


def take_cookie(name: str) -> None:
    """Receive a receiver, from it another, from that the cookie, which goes back."""
    _, tx, rx = meet(name)
    receiver = rx
    for _ in range(2):
        _, (receiver,) = receiver.recv(30)
    cookie, attachments = receiver.recv(30)
    assert not attachments
    tx.send(copied(cookie))


def select_interrupted(name: str) -> None:
    """Select on one receiver while being stopped and continued."""
    backend, tx = connect(name)
    sub_tx, sub_rx = backend.channel()
    members = backend.receiver_set()
    members.add(sub_rx, 4)
    tx.send(b" Ready! ", [sub_tx])
    assert [(id, bytes(data)) for id, data, _ in members.select(60)] == [(4, b"Test")]  # type: ignore[arg-type]
    tx.send(b"Success!")


def fill(name: str, end: str) -> None:
    """Send many messages, some with attachments, and die before anyone reads."""
    backend, tx = connect(name)
    for number in range(MANY):
        attachments = ()
        if number % 10_000 == 9999:
            sub_tx, sub_rx = backend.channel()
            sub_tx.send(b"inside %d" % number)
            sub_tx.close()
            attachments = (sub_rx,)  # type: ignore[assignment]
        tx.send(b"%d" % number, attachments)
    tx.send(pattern(MIB))
    if end == "close":
        tx.close()
    die(end)


def stream(name: str) -> None:
    """Send numbered messages of many sizes until killed."""
    tx = connect(name)[1]
    number = 0
    while True:
        tx.send([b"%08d" % number, pattern(number * 997 % 60_000)])
        number += 1


def hold(name: str) -> None:
    """Hand out a sender, keep both receivers and a sender of the parent's, until told to die."""
    _, tx, rx = meet(name)
    _, held = rx.recv(30)
    tx.send(b"holding")
    rx.recv(60)
    die("kill")
    del held


def hold_unread(name: str) -> None:
    """Keep all receivers that come, and read nothing from them, until killed."""
    _, tx, rx = meet(name)
    held = []
    while True:
        held.append(rx.recv(60)[1])
        tx.send(b"holding")


def relay(name: str) -> None:
    """Pass on all that a received receiver yields."""
    _, tx, rx = meet(name)
    _, (receiver,) = rx.recv(30)
    while True:
        try:
            data, attachments = receiver.recv(30)
        except Disconnected:
            return
        tx.send(copied(data), attachments)


def write_region(name: str) -> None:
    """Write into a received region, and send one that is then left alone."""
    backend, tx, rx = meet(name)
    _, (region,) = rx.recv(30)
    assert region.buffer == pattern(len(region))
    region.buffer[:] = pattern(len(region), flag=0x80)
    made = backend.shared_memory(pattern(MIB))
    tx.send(b"written", [made])


def die(how: str) -> None:
    """End this process without any clean-up, by SIGKILL where there is such a thing."""
    if how == "kill" and hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)
