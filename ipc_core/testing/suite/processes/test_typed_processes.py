"""Typed channels to other processes."""

from __future__ import annotations

from typing import Any

import pytest

from ipc_core import (
    DecodeError,
)
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.bombs import exploded
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import typed as typed_programs
from ipc_core.testing.waiting import BOUND


@each_test(requires(Capability.CROSS_PROCESS))
class TestTypedProcesses:
    def test_order_from_a_child(self, bag: Bag, children: Children, messages: Any) -> None:
        """D10: a child connects with the server's codec and type, and is replied to."""
        m = messages
        server, name = bag.server(m.Order, codec=m.CODEC)
        child = children.start(typed_programs.order, name)
        rx, first = server.accept(BOUND, child=child)
        bag.keep(rx)
        assert first.items == [m.Item("tea", 2.5)]
        bag.keep(first.reply).send(m.Reply(42))
        assert rx.try_recv_timeout(BOUND).note == m.Note("replied", [42])
        assert child.wait(BOUND) == 0

    def test_bombs_from_a_child(self, bag: Bag, children: Children, messages: Any) -> None:
        """I39: nothing that a hostile client sends runs code in the server."""
        m = messages
        server, name = bag.server(m.Order, codec=m.CODEC)
        exploded.clear()
        child = children.start(typed_programs.bomb, name)
        with pytest.raises(DecodeError, match="msgspec"):
            server.accept(BOUND, child=child)
        assert child.wait(BOUND) in (0, 1)
        assert exploded == []

    def test_client_of_another_codec(self, bag: Bag, children: Children, messages: Any) -> None:
        """I39: a client that uses another codec than the server is told apart from garbage."""
        server, name = bag.server(messages.Order, codec=messages.CODEC)
        child = children.start(typed_programs.pickle_instead, name)
        with pytest.raises(DecodeError, match="default codec"):
            server.accept(BOUND, child=child)
        assert child.wait(BOUND) == 0
