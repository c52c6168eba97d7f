"""Processes that end while they hold the lock of a channel, its queue, or its receiver."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from ipc_backend_windows import kernel_handles, queue_writer, win32, wire

from ipc_core import BrokenChannelError, Disconnected, Empty, IpcSender
from ipc_core.testing import programs
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.waiting import BOUND


def die_in_the_middle(name: str, copies: str, before: str) -> None:
    """Send `before` bytes until a segment is full, begin to send two senders, and exit when
    `copies` kernel handles are in the home's table."""
    with Bag() as bag:
        _, from_parent = programs._meet(bag, name)
        tx, one, two = from_parent.recv()
        tx.send(bytes(int(before)))
        left = int(copies)
        real = kernel_handles.copy

        def copy(*arguments: Any) -> Any:
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return real(*arguments)

        vars(queue_writer)["copy"] = copy
        tx.send([one, two])


@pytest.mark.parametrize("before", [0, wire.SECTION - 400])
@pytest.mark.parametrize("copies", [0, 1])
def test_killed_between_two_handles(bag: Bag, children: Children, copies: int, before: int) -> None:
    """B82: the next process that uses the channel closes the copied handles; nothing is wedged,
    the half message is never seen, and the senders in it do not count."""
    server, name = bag.server()
    child = children.start(die_in_the_middle, name, str(copies), str(before))
    rx, to_child = server.accept(BOUND)
    bag.keep(rx)
    bag.keep(to_child)
    tx, channel_rx = bag.channel()
    (one, one_rx), (two, two_rx) = bag.channel(), bag.channel()
    to_child.send((tx, one, two))
    one.close()
    two.close()
    assert child.wait(BOUND) == 9
    assert len(channel_rx.recv()) == before
    with pytest.raises(Empty):
        channel_rx.try_recv()
    for receiver in (one_rx, two_rx):
        with pytest.raises(Disconnected):
            receiver.try_recv_timeout(BOUND)
    tx.send("goes on")
    assert channel_rx.recv() == "goes on"


def give_away_and_leave(name: str) -> None:
    """Send a receiver whose queue has a sender, a receiver and a large payload in it, and exit."""
    with Bag() as bag:
        to_parent, _ = programs._meet(bag, name)
        tx, rx = bag.channel()
        inner_tx, inner_rx = bag.channel()
        tx.send(inner_tx)
        for number in range(5000):
            tx.send(number)
        tx.send([inner_rx, b"x" * 300_000])
        to_parent.send(rx)


def test_moved_queue_needs_its_old_home_no_more(bag: Bag, children: Children) -> None:
    """B95: everything in a queue moves with its receiver, so that the process that had it may
    end before anything is received."""
    server, name = bag.server()
    child = children.start(give_away_and_leave, name)
    rx, _ = server.accept(BOUND)
    bag.keep(rx)
    assert child.wait(BOUND) == 0
    moved = bag.recv(rx)
    sender: IpcSender[Any] = bag.recv(moved)
    assert [moved.recv() for _ in range(5000)] == list(range(5000))
    receiver, payload = moved.recv()
    bag.keep(receiver)
    assert payload == b"x" * 300_000
    sender.send("still connected")
    assert receiver.recv() == "still connected"


def test_nothing_is_inherited(bag: Bag) -> None:
    """I85: no handle of an endpoint, region, set or server goes to a child."""
    import ctypes
    from ctypes.wintypes import DWORD, HANDLE

    def inheritable() -> int:
        flags = DWORD()
        information = ctypes.WinDLL("kernel32").GetHandleInformation
        return sum(
            bool(information(HANDLE(number), ctypes.byref(flags)) and flags.value & 1)
            for number in range(4, 4000, 4)
        )

    before = inheritable()
    tx, rx = bag.channel()
    bag.server()
    bag.receiver_set().add(bag.channel()[1])
    tx.send([bag.channel()[0], bag.channel()[1], bag.region(b"region")])
    for received in rx.recv():
        bag.keep(received)
    with pytest.raises(Empty):
        rx.try_recv_timeout(0.01)
    assert inheritable() == before


def receive_and_wait(name: str) -> None:
    """Receive a receiver, confirm it, and hold it until killed."""
    with Bag() as bag:
        to_parent, from_parent = programs._meet(bag, name)
        bag.keep(from_parent.recv())
        to_parent.send("received")
        from_parent.recv()


@pytest.mark.parametrize("what", ["payload", "sender"])
def test_a_receivers_process_is_killed_before_it_gets_a_handle(
    bag: Bag, children: Children, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """I88: the system refuses access to a process that has ended; the send says that the channel
    is broken, and nothing is left behind."""
    server, name = bag.server()
    child = children.start(receive_and_wait, name)
    from_child, to_child = server.accept(BOUND)
    bag.keep(from_child)
    bag.keep(to_child)
    tx, rx = bag.channel()
    sub_tx, sub_rx = bag.channel()
    to_child.send(rx)
    assert from_child.recv() == "received"
    tx.send(b"opens the other process")
    real = win32.DuplicateHandle

    def duplicate(*arguments: Any) -> Any:
        child.kill()
        child.wait(BOUND)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(win32, "DuplicateHandle", duplicate)
        with pytest.raises(BrokenChannelError):
            tx.send(bytes(1 << 20) if what == "payload" else sub_tx)
    sub_tx.close()
    with pytest.raises(Disconnected):
        sub_rx.try_recv_timeout(BOUND)


def die_after_publishing(name: str) -> None:
    """Send a sender, and exit when the message exists but its note is not cleared."""

    class Word:
        def __getattr__(self, name: str) -> Any:
            return getattr(wire.WORD, name)

        def pack_into(self, data: memoryview, offset: int, value: int) -> None:
            if offset == wire.PENDING_AT and not value:
                os._exit(9)
            wire.WORD.pack_into(data, offset, value)

    with Bag() as bag:
        _, from_parent = programs._meet(bag, name)
        tx, sender = from_parent.recv()
        vars(queue_writer)["wire"] = SimpleNamespace(**{**vars(wire), "WORD": Word()})
        tx.send(sender)


def test_killed_after_publishing(bag: Bag, children: Children) -> None:
    """B82: a message that exists keeps its handles, though its sender was killed in `send`."""
    server, name = bag.server()
    child = children.start(die_after_publishing, name)
    rx, to_child = server.accept(BOUND)
    bag.keep(rx)
    bag.keep(to_child)
    tx, channel_rx = bag.channel()
    inner_tx, inner_rx = bag.channel()
    to_child.send((tx, inner_tx))
    inner_tx.close()
    assert child.wait(BOUND) == 9
    sender: IpcSender[Any] = bag.recv(channel_rx)
    sender.send("still connected")
    assert inner_rx.recv() == "still connected"
