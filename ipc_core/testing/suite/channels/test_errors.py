"""Errors, and messages that no honest peer would send."""

from __future__ import annotations

import pickle
import queue
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import ipc_core
from ipc_core import (
    BrokenChannelError,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    EncodeError,
    IpcBytesReceiver,
    IpcError,
    IpcIOError,
    IpcReceiver,
    IpcSender,
    IpcSharedMemory,
    MovedError,
    SerDeError,
)
from ipc_core.spi import Attachment, Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.programs.forgery import Slot
from ipc_core.testing.waiting import BOUND


class Explosive:
    """An object that cannot be decoded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


class TestErrors:
    def test_kinds(self, backend: Backend) -> None:
        """I37: each error is also an instance of the general classes that it documents."""
        for error, kinds in {
            Disconnected: (IpcError, EOFError),
            Empty: (IpcError, queue.Empty),
            IpcIOError: (IpcError, OSError),
            BrokenChannelError: (IpcIOError, BrokenPipeError),
            EncodeError: (SerDeError, IpcError),
            DecodeError: (SerDeError, IpcError),
            ClosedError: (IpcError, ValueError),
            MovedError: (ClosedError,),
            ipc_core.Full: (IpcError, queue.Full),
            ipc_core.ForeignHandleError: (IpcError, TypeError),
            ipc_core.NoBackendError: (IpcError, RuntimeError),
        }.items():
            for kind in kinds:
                assert issubclass(error, kind), (error, kind)
        for one, other in (
            (Empty, Disconnected),
            (BrokenChannelError, Disconnected),
            (SerDeError, IpcIOError),
            (EncodeError, DecodeError),
        ):
            assert not issubclass(one, other)
            assert not issubclass(other, one)

    def test_texts(self, bag: Bag) -> None:
        """I37: every error has a readable text."""
        tx, rx = bag.channel()
        receivers = bag.receiver_set()
        (_, moved), (closed, _) = bag.channel(), bag.channel()
        receivers.add(moved)
        closed.close()
        calls: list[Callable[[], object]] = [
            rx.try_recv,
            lambda: rx.try_recv_timeout(0.001),
            receivers.try_select,
            moved.recv,
            lambda: closed.send(1),
        ]
        for call in calls:
            with pytest.raises(IpcError) as caught:
                call()
            assert len(str(caught.value)) > 10
        rx.close()
        assert tx.wait_closed(BOUND)
        with pytest.raises(BrokenChannelError) as broken:
            tx.send(1)
        assert broken.value.errno
        assert len(str(broken.value)) > 10

    @pytest.mark.parametrize("slot", [2, 1000, -1, -2, "0", None, 0.0, 10**30])
    @pytest.mark.parametrize("end", [IpcSender, IpcReceiver, IpcSharedMemory])
    def test_slot_out_of_range(
        self, bag: Bag, backend: Backend, end: type[Any], slot: object
    ) -> None:
        """I38: a reference of any kind to an attachment that is not there is a DecodeError."""
        tx, rx = bag.forged_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        _send(tx, [Slot(end, slot)], [sub_tx, sub_rx])
        with pytest.raises(DecodeError):
            rx.recv()
        assert sub_tx.wait_closed(BOUND)
        _send(tx, "next")
        assert rx.recv() == "next"

    def test_slot_without_attachments(self, bag: Bag, backend: Backend) -> None:
        """I38: a reference in a message without attachments is a DecodeError with the number."""
        tx, rx = bag.forged_channel(backend)
        _send(tx, Slot(IpcSender, 3))
        with pytest.raises(DecodeError, match="3"):
            rx.recv()
        _send(tx, "next")
        assert rx.recv() == "next"

    def test_slot_used_twice(self, bag: Bag, backend: Backend) -> None:
        """I38: a second reference to one attachment is a DecodeError; the attachment is closed."""
        tx, rx = bag.forged_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        _send(tx, [Slot(IpcReceiver, 0), Slot(IpcReceiver, 0)], [sub_rx])
        with pytest.raises(DecodeError, match="twice"):
            rx.recv()
        assert sub_tx.wait_closed(BOUND)
        _send(tx, "next")
        assert rx.recv() == "next"

    @requires(Capability.SHARED_MEMORY)
    def test_region_used_twice(self, bag: Bag, backend: Backend) -> None:
        """I38: the same holds for regions."""
        tx, rx = bag.forged_channel(backend)
        region = bag.keep(backend.shared_memory(b"region"))
        _send(tx, [Slot(IpcSharedMemory, 0), Slot(IpcSharedMemory, 0)], [region])
        with pytest.raises(DecodeError, match="twice"):
            rx.recv()
        assert bytes(region.buffer) == b"region"

    def test_garbage(self, bag: Bag, backend: Backend) -> None:
        """I39: a message that does not decode raises once; the next one is received."""
        tx, rx = bag.forged_channel(backend)
        for garbage in (b"", b"garbage", b"\x80\x05", b"\x80\x05.", pickle.dumps(Explosive())):
            tx.send(garbage)
            with pytest.raises(DecodeError):
                rx.recv()
        _send(tx, ("good", 1))
        assert rx.recv() == ("good", 1)

    def test_garbage_among_many(self, bag: Bag, backend: Backend) -> None:
        """I39: recv_many returns the messages before garbage; the next receive raises, once."""
        tx, rx = bag.forged_channel(backend)
        for message in (1, 2):
            _send(tx, message)
        tx.send(b"garbage")
        _send(tx, 3)
        before: list[Any] = []
        while len(before) < 2:
            before += rx.recv_many(10)
        assert before == [1, 2]
        with pytest.raises(DecodeError):
            rx.recv()
        assert rx.recv_many(10) == [3]

    def test_object_that_does_not_decode(self, bag: Bag) -> None:
        """I39: DecodeError keeps the cause, and the attachments around it are closed."""
        tx, rx = bag.channel()
        sub_tx, sub_rx = bag.channel()
        tx.send([sub_rx, Explosive()])
        with pytest.raises(DecodeError) as caught:
            rx.recv()
        assert isinstance(caught.value.__cause__, ValueError)
        del caught
        assert sub_tx.wait_closed(BOUND)
        tx.send("good")
        assert rx.recv() == "good"

    @pytest.mark.parametrize("wrong", [IpcReceiver, IpcBytesReceiver, IpcSharedMemory])
    def test_sender_called_something_else(
        self, bag: Bag, backend: Backend, wrong: type[Any]
    ) -> None:
        """I40: an attachment that is not of the kind the message says is a DecodeError."""
        tx, rx = bag.forged_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        _send(tx, Slot(wrong, 0), [sub_tx])
        with pytest.raises(DecodeError, match="sender"):
            rx.recv()
        sub_tx.close()
        with pytest.raises(Disconnected):
            sub_rx.recv(BOUND)

    def test_receiver_called_a_sender(self, bag: Bag, backend: Backend) -> None:
        """I40: a receiver that the message calls a sender is a DecodeError, and is closed."""
        tx, rx = bag.forged_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        _send(tx, Slot(IpcSender, 0), [sub_rx])
        with pytest.raises(DecodeError, match="receiver"):
            rx.recv()
        assert sub_tx.wait_closed(BOUND)

    def test_unused_attachments_are_closed(self, bag: Bag, backend: Backend) -> None:
        """I38: attachments that a message does not refer to are closed, and the rest arrives."""
        tx, rx = bag.forged_channel(backend)
        (sub_tx, sub_rx), (used_tx, used_rx) = bag.os_channel(backend), bag.os_channel(backend)
        _send(tx, Slot(IpcSender, 1), [sub_rx, used_tx])
        bag.recv(rx).send(b"used")
        used_rx.recv(BOUND)
        assert sub_tx.wait_closed(BOUND)


def _send(tx: Any, obj: object, attachments: Sequence[Attachment] = ()) -> None:
    tx.send(pickle.dumps(obj, 5), attachments)
