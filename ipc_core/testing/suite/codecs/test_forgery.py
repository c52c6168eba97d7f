"""Forged messages wherever messages are decoded: an error there, and nowhere else."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ipc_core
from ipc_core import (
    DecodeError,
    Disconnected,
    IpcBytesReceiver,
    IpcReceiver,
    IpcSender,
    IpcSharedMemory,
    Router,
)
from ipc_core.spi import Attachment, Backend, Capability, Kind
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import forgery as forgery_programs
from ipc_core.testing.programs.forgery import Slot
from ipc_core.testing.waiting import BOUND, SOON, collect

KINDS: dict[type[Any], Kind] = {
    IpcSender: Kind.SENDER,
    IpcReceiver: Kind.RECEIVER,
    IpcSharedMemory: Kind.SHARED_MEMORY,
}

Forged = tuple[type[Any], int]


class Greedy:
    """An object that encodes as one receiver that takes two slots."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _take_both, ()


def _take_both() -> object:
    made = object.__new__(IpcReceiver)
    made.__setstate__(0)
    made.__setstate__(1)
    return made


class TestForgery:
    def test_one_object_takes_two_slots(self, bag: Bag, backend: Backend) -> None:
        """I38: an object that claims two slots keeps one; the other attachment is closed."""
        tx, rx = bag.forged_channel(backend)
        (lost_tx, lost_rx), (kept_tx, kept_rx) = bag.os_channel(backend), bag.os_channel(backend)
        tx.send(pickle.dumps(Greedy()), [lost_rx, kept_rx])
        made = bag.recv(rx)
        assert lost_tx.wait_closed(BOUND)
        kept_tx.send(pickle.dumps("kept"))
        assert made.try_recv_timeout(BOUND) == "kept"

    @requires(Capability.SHARED_MEMORY)
    @pytest.mark.parametrize("wrong", [IpcSender, IpcReceiver, IpcBytesReceiver])
    def test_region_called_an_endpoint(self, bag: Bag, backend: Backend, wrong: type[Any]) -> None:
        """I40: a region that the message calls an endpoint is a DecodeError."""
        tx, rx = bag.forged_channel(backend)
        region = bag.keep(backend.shared_memory(b"region"))
        tx.send(pickle.dumps(Slot(wrong, 0)), [region])
        with pytest.raises(DecodeError, match="memory"):
            rx.recv()
        tx.send(pickle.dumps("next"))
        assert rx.recv() == "next"

    def test_random_forgeries(self, bag: Bag, backend: Backend) -> None:
        """I38, I40: any reference to any slot yields a message or a DecodeError, attachments
        that nobody holds are closed, and the next message arrives."""
        tx, rx = bag.forged_channel(backend)
        classes = [end for end in KINDS if end is not IpcSharedMemory or _shares(backend)]
        slots = st.tuples(st.sampled_from(classes), st.integers(-2, 5))
        shapes = st.recursive(slots, lambda inner: st.lists(inner, max_size=4), max_leaves=8)

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(shape=shapes, carried=st.lists(st.sampled_from(classes), max_size=4))
        def forge(shape: Any, carried: list[type[Any]]) -> None:
            with Bag() as ends:
                attachments = [_attachment(ends, backend, end) for end in carried]
                tx.send(pickle.dumps(_forged(shape)), [mine for mine, _ in attachments])
                wanted = list(_leaves(shape))
                if _fits(wanted, carried):
                    _close(rx.recv())
                else:
                    with pytest.raises(DecodeError):
                        rx.recv()
                for mine, other in attachments:
                    if mine.kind is Kind.RECEIVER:
                        assert other.wait_closed(BOUND)
                    elif mine.kind is Kind.SENDER:
                        mine.close()
                        with pytest.raises(Disconnected):
                            other.recv(BOUND)
            tx.send(pickle.dumps("next"))
            assert rx.recv() == "next"

        forge()

    def test_in_a_set(self, bag: Bag, backend: Backend) -> None:
        """I38: in a set, a forged message spoils neither its member nor the others."""
        forged_tx, forged_rx = bag.forged_channel(backend)
        good_tx, good_rx = bag.channel()
        sub_tx, sub_rx = bag.os_channel(backend)
        receivers = bag.receiver_set()
        forged, good = receivers.add(forged_rx), receivers.add(good_rx)
        forged_tx.send(pickle.dumps([Slot(IpcReceiver, 0), Slot(IpcReceiver, 0)]), [sub_rx])
        [result] = receivers.try_select_timeout(BOUND)
        assert isinstance(result, ipc_core.MessageReceived)
        with pytest.raises(DecodeError):
            result.message.to()
        assert sub_tx.wait_closed(BOUND)
        forged_tx.send(pickle.dumps("next"))
        good_tx.send("undisturbed")
        messages, closed = collect(receivers, 2)
        assert sorted(messages) == [(forged, "next"), (good, "undisturbed")]
        assert not closed

    @pytest.mark.threads
    def test_in_a_router(
        self, bag: Bag, backend: Backend, router: Router, reports: list[BaseException]
    ) -> None:
        """I38, W21: a router reports each forged message; all its routes go on."""
        forged_tx, forged_rx = bag.forged_channel(backend)
        good_tx, good_rx = bag.channel()
        forged, good = router.route_to_queue(forged_rx), router.route_to_queue(good_rx)
        for slot in (7, -1, 0):
            forged_tx.send(pickle.dumps(Slot(IpcSender, slot)))
            good_tx.send(slot)
            assert good.get(timeout=SOON) == slot
        forged_tx.send(pickle.dumps("next"))
        assert forged.get(timeout=SOON) == "next"
        assert [type(error) for error in reports] == [DecodeError] * 3


@each_test(requires(Capability.CROSS_PROCESS))
class TestForgeryOfProcesses:
    def test_child_forges_slots(self, bag: Bag, children: Children) -> None:
        """W1, I38: each forged message of a child is an error, and no more."""
        server, name = bag.server()
        child = children.start(forgery_programs.forge_slots, name)
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        bag.keep(first)
        for _ in range(3):
            with pytest.raises(DecodeError):
                rx.try_recv_timeout(BOUND)
        assert rx.try_recv_timeout(BOUND) == "the last"
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)
        assert child.wait(BOUND) == 0

    def test_child_sends_garbage_and_dies(self, bag: Bag, children: Children) -> None:
        """I39: garbage of a process that is gone is an error; then its channel ends."""
        server, name = bag.server()
        child = children.start(forgery_programs.send_garbage_and_die, name)
        rx, first = server.accept(BOUND)
        bag.keep(rx)
        assert first is None
        assert child.wait(BOUND) == 0
        with pytest.raises(DecodeError):
            rx.try_recv_timeout(BOUND)
        with pytest.raises(Disconnected):
            rx.try_recv_timeout(BOUND)

    def test_child_forges_the_first_message(self, bag: Bag, children: Children) -> None:
        """I11, I38: accept raises DecodeError, and closes the channel and all that came."""
        server, name = bag.server()
        child = children.start(forgery_programs.forge_first_message, name)
        with pytest.raises(DecodeError, match="twice"):
            server.accept(BOUND)
        assert child.wait(BOUND) == 0


def _shares(backend: Backend) -> bool:
    return Capability.SHARED_MEMORY in backend.capabilities


def _attachment(bag: Bag, backend: Backend, end: type[Any]) -> tuple[Attachment, Any]:
    """Return an object to attach, and the other end of its channel."""
    if end is IpcSharedMemory:
        return bag.keep(backend.shared_memory(b"region")), None
    tx, rx = bag.os_channel(backend)
    return (tx, rx) if end is IpcSender else (rx, tx)


def _leaves(shape: Any) -> Iterator[Forged]:
    if isinstance(shape, list):
        for part in shape:
            yield from _leaves(part)
    else:
        yield shape


def _forged(shape: Any) -> Any:
    return [_forged(part) for part in shape] if isinstance(shape, list) else Slot(*shape)


def _fits(wanted: list[Forged], carried: list[type[Any]]) -> bool:
    """Return whether an honest sender could have sent the shape."""
    slots = [slot for _, slot in wanted]
    return len(set(slots)) == len(slots) and all(
        0 <= slot < len(carried) and carried[slot] is end for end, slot in wanted
    )


def _close(received: Any) -> None:
    if isinstance(received, list):
        for part in received:
            _close(part)
    else:
        received.close()
