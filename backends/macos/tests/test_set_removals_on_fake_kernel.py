"""Members that leave a set while a thread that selects has a message of theirs in hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipc_backend_macos import buffers, receiver_set
from ipc_backend_macos.backend import MacosBackend

from ipc_core.spi import BrokenChannelError, ClosedError, Disconnected
from ipc_core.testing.bag import Bag

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake kernel needs Linux")

FOLDER = Path(__file__).parent / "on_fake_kernel"


@pytest.fixture
def bag() -> Iterator[Bag]:
    """Every right is accounted for afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        import macos_on_fake_kernel as fake

        fake.set_up()
        before = fake.unaccounted(patience=0)
        with Bag() as bag:
            yield bag
        assert fake.unaccounted(before) == before
        assert not fake.report()["violations"]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have an action done once, between a receive in `select` and the look at the message."""
    real = buffers.next_message

    def arrange(action: Callable[[], object]) -> None:
        def next_message(*arguments: Any) -> memoryview | None:
            monkeypatch.setattr(receiver_set, "next_message", real)
            message = real(*arguments)
            assert message is not None
            action()
            return message

        monkeypatch.setattr(receiver_set, "next_message", next_message)

    return arrange


def with_one_member(bag: Bag) -> tuple[Any, Any]:
    """A set with the member 1; return the set and the sender."""
    backend = MacosBackend()
    members: Any = bag.keep(backend.receiver_set())
    tx, rx = bag.os_channel(backend)
    members.add(rx, 1)
    return members, tx


def test_the_end_of_one_that_is_removed(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.close()
    back: list[Any] = []
    between(lambda: back.append(bag.keep(members.remove(1))))
    assert members.select(0) == []
    with pytest.raises(Disconnected):
        back[0].recv(0)


def test_the_end_of_one_that_is_removed_and_closed(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.close()
    between(lambda: members.remove(1).close())
    assert members.select(0) == []


def test_the_end_of_one_that_is_removed_and_sent_away(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.close()
    carrier_tx, carrier_rx = bag.os_channel(MacosBackend())
    between(lambda: carrier_tx.send(b"", [members.remove(1)]))
    assert members.select(0) == []
    _, (moved,) = bag.os_recv(carrier_rx)
    with pytest.raises(Disconnected):
        moved.recv(0)


def test_the_end_of_one_that_comes_back(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.close()
    between(lambda: members.add(members.remove(1), 2))
    assert members.select(0) == [(2, None, ())]


def test_a_message_of_one_that_is_removed_and_closed(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.send(b"in hand")
    between(lambda: members.remove(1).close())
    assert members.select(0) == [(1, b"in hand", [])]


def test_a_message_before_the_end_that_another_select_finds(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.send(b"in hand")
    tx.close()
    other: list[Any] = []
    between(lambda: other.extend(members.select(0)))
    assert members.select(0) == [(1, b"in hand", [])]
    assert other == [(1, None, ())]


def test_a_message_of_a_set_that_is_closed(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.send(b"in hand")
    tx.send(b"lost")
    between(members.close)
    assert members.select(None) == [(1, b"in hand", [])]
    with pytest.raises(BrokenChannelError):
        tx.send(b"late")
    with pytest.raises(ClosedError):
        members.select(None)


def test_the_end_of_one_in_a_set_that_is_closed(bag: Bag, between: Any) -> None:
    members, tx = with_one_member(bag)
    tx.close()
    between(members.close)
    with pytest.raises(ClosedError):
        members.select(None)
