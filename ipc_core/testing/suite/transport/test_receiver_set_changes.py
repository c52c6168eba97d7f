"""Receiver sets that change, are woken or closed, also while another thread selects."""

from __future__ import annotations

import pytest

from ipc_core.spi import Backend, Capability, ClosedError, Disconnected, Empty
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires, slow
from ipc_core.testing.payloads import MIB, pattern, same
from ipc_core.testing.suite.transport.test_receiver_set import added, collect
from ipc_core.testing.timing import AtLeast, Soon


class TestTransportReceiverSetChanges:
    def test_transport_remove(self, bag: Bag, backend: Backend) -> None:
        """B68: a removed receiver keeps its queue, is not selected, and can return."""
        members = bag.keep(backend.receiver_set())
        tx, rx = bag.os_channel(backend)
        members.add(rx, 1)
        other = added(bag, backend, members, 2)
        tx.send(b"queued")
        removed = bag.keep(members.remove(1))
        other.send(b"other")
        assert collect(bag, members, 1) == [(2, b"other")]
        assert members.select(0) == []
        assert removed.recv(30)[0] == b"queued"
        tx.send(b"later")
        members.add(removed, 3)
        assert collect(bag, members, 1) == [(3, b"later")]

    def test_transport_remove_unknown(self, bag: Bag, backend: Backend) -> None:
        """B68: an id that is not in the set, or no longer, is a KeyError."""
        members = bag.keep(backend.receiver_set())
        added(bag, backend, members, 1)
        with pytest.raises(KeyError):
            members.remove(2)
        bag.keep(members.remove(1))
        with pytest.raises(KeyError):
            members.remove(1)

    @slow
    @requires(Capability.UNBOUNDED)
    @pytest.mark.parametrize("before", [0, 1, 1000])
    def test_transport_long_queue_moves_through_a_set(
        self, bag: Bag, backend: Backend, before: int
    ) -> None:
        """B68, B75: a long queue goes on in order when its receiver enters and leaves a set."""
        tx, rx = bag.os_channel(backend)
        for number in range(20_000):
            tx.send(b"%d" % number)
        tx.close()
        for number in range(before):
            assert rx.recv(30)[0] == b"%d" % number
        members = bag.keep(backend.receiver_set())
        members.add(rx, 1)
        selected = before
        while selected < before + 3000:
            for _, data, _ in members.select(30):
                assert data == b"%d" % selected
                selected += 1
        removed = bag.keep(members.remove(1))
        assert members.select(0) == []
        for number in range(selected, selected + 1000):
            assert removed.recv(30)[0] == b"%d" % number
        members.add(removed, 2)
        rest = [data for _, data in collect(bag, members, 20_001 - selected - 1000)]
        assert rest[:-1] == [b"%d" % number for number in range(selected + 1000, 20_000)]
        assert rest[-1] is None

    @requires(Capability.UNBOUNDED)
    def test_transport_set_of_long_queues(self, bag: Bag, backend: Backend) -> None:
        """B75: several long queues in one set are all delivered, each in order."""
        members = bag.keep(backend.receiver_set())
        for id in range(4):
            tx = added(bag, backend, members, id)
            for number in range(5000):
                tx.send(b"%d" % number)
            tx.send(pattern(MIB))
            tx.close()
        following = [0] * 4
        for id, data in collect(bag, members, 4 * 5002):
            if following[id] < 5000:
                assert data == b"%d" % following[id]
            elif following[id] == 5000:
                assert same(data, pattern(MIB))
            else:
                assert data is None
            following[id] += 1
        assert following == [5002] * 4

    def test_transport_wake_before_select(self, bag: Bag, backend: Backend) -> None:
        """B74: `wake` makes the next `select` return at once, and only that one."""
        members = bag.keep(backend.receiver_set())
        tx = added(bag, backend, members, 1)
        members.wake()
        with Soon():
            assert members.select(30) == []
        with AtLeast(0.05):
            assert members.select(0.05) == []
        members.wake()
        tx.send(b"with a message")
        with Soon():
            results = members.select(30) or members.select(30)
        assert [data for _, data, _ in results] == [b"with a message"]

    @pytest.mark.threads
    @pytest.mark.parametrize("timeout", [None, 30])
    def test_transport_wake_ends_select(
        self, bag: Bag, backend: Backend, timeout: float | None
    ) -> None:
        """B74: `wake` makes a `select` in another thread return nothing."""
        members = bag.keep(backend.receiver_set())
        added(bag, backend, members, 1)
        for _ in range(20):
            selecting = bag.thread(members.select, timeout)
            selecting.wait_until_asleep()
            with Soon():
                members.wake()
                assert selecting.result() == []

    @pytest.mark.threads
    @pytest.mark.parametrize("timeout", [None, 30])
    def test_transport_close_ends_select(
        self, bag: Bag, backend: Backend, timeout: float | None
    ) -> None:
        """B74: `close` ends a `select` in another thread with ClosedError, and its members."""
        members = bag.keep(backend.receiver_set())
        tx = added(bag, backend, members, 1)
        selecting = bag.thread(members.select, timeout)
        selecting.wait_until_asleep()
        with Soon():
            members.close()
            with pytest.raises(ClosedError):
                selecting.result()
        assert tx.wait_closed(30)

    def test_transport_closed_set(self, bag: Bag, backend: Backend) -> None:
        """B74: a closed set raises ClosedError, and does not take a receiver over."""
        members = bag.keep(backend.receiver_set())
        tx, rx = bag.os_channel(backend)
        added(bag, backend, members, 1)
        members.close()
        for timeout in (0, None):
            with pytest.raises(ClosedError):
                members.select(timeout)
        with pytest.raises(ClosedError):
            members.remove(1)
        with pytest.raises(ClosedError):
            members.add(rx, 2)
        tx.send(b"kept")
        assert rx.recv(30)[0] == b"kept"

    @pytest.mark.threads
    def test_transport_add_while_selecting(self, bag: Bag, backend: Backend) -> None:
        """B68, B72: a running `select` sees a receiver that is added: its message, later
        messages, and its end."""
        members = bag.keep(backend.receiver_set())
        for id, first in enumerate(["message", "later", "end"]):
            tx, rx = bag.os_channel(backend)
            selecting = bag.thread(members.select, None)
            selecting.wait_until_asleep()
            if first == "message":
                tx.send(b"message")
            elif first == "end":
                tx.close()
            members.add(rx, id)
            if first == "later":
                tx.send(b"later")
            expected = None if first == "end" else first.encode()
            assert [(found, data) for found, data, _ in selecting.result()] == [(id, expected)]

    @pytest.mark.threads
    def test_transport_remove_while_selecting(self, bag: Bag, backend: Backend) -> None:
        """B68: a running `select` forgets a receiver that is removed."""
        members = bag.keep(backend.receiver_set())
        tx = added(bag, backend, members, 1)
        other = added(bag, backend, members, 2)
        selecting = bag.thread(members.select, None)
        selecting.wait_until_asleep()
        removed = bag.keep(members.remove(1))
        tx.send(b"mine")
        assert removed.recv(30)[0] == b"mine"
        other.send(b"other")
        assert [(id, data) for id, data, _ in selecting.result()] == [(2, b"other")]

    @pytest.mark.threads
    def test_transport_set_changes_all_the_time(self, bag: Bag, backend: Backend) -> None:
        """B75: while one thread adds, sends and removes, and another selects, every message
        arrives once: in the set, or in the receiver that was removed."""
        members = bag.keep(backend.receiver_set())
        rounds = 300
        stop = added(bag, backend, members, rounds)

        def change() -> list[int]:
            mine = []
            for id in range(rounds):
                tx = added(bag, backend, members, id)
                tx.send(b"%d" % id)
                if id % 2:
                    continue
                removed = bag.keep(members.remove(id))
                try:
                    assert removed.recv(0)[0] == b"%d" % id
                except Empty:
                    continue
                mine.append(id)
            stop.send(b"stop")
            return mine

        changing = bag.thread(change)
        selected: list[int] = []
        while rounds not in selected:
            for id, data, _ in members.select(30):
                selected.append(id)
                assert data == (b"stop" if id == rounds else b"%d" % id)
        mine = changing.result()
        selected += [id for id, _, _ in members.select(0, 1000)]
        assert sorted([*mine, *selected]) == list(range(rounds + 1))

    @pytest.mark.threads
    def test_transport_closed_while_selecting(self, bag: Bag, backend: Backend) -> None:
        """B72: a channel that ends during a `select` is reported, and the others stay."""
        members = bag.keep(backend.receiver_set())
        tx = added(bag, backend, members, 1)
        other = added(bag, backend, members, 2)
        selecting = bag.thread(members.select, None)
        selecting.wait_until_asleep()
        tx.close()
        assert [(id, data) for id, data, _ in selecting.result()] == [(1, None)]
        other.send(b"stays")
        assert collect(bag, members, 1) == [(2, b"stays")]
        removed = bag.keep(members.remove(2))
        other.close()
        with pytest.raises(Disconnected):
            removed.recv(30)
