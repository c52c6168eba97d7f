"""Ends among the arguments of a process that multiprocessing starts."""

from __future__ import annotations

import pytest

from ipc_core.spi import Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import arguments as programs
from ipc_core.testing.waiting import BOUND


@each_test(requires(Capability.CROSS_PROCESS))
class TestArguments:
    def test_arguments_of_a_spawned_process(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """I72: a process that multiprocessing spawns gets ends as arguments, with their queues,
        and the parent's own stay as they are. A backend that cannot do it says why: its `for_child`
        raises NotSupportedError."""
        assert type(backend).for_child is not Backend.for_child, (
            f"{backend.name} claims CROSS_PROCESS, so it needs for_child and from_parent, or a "
            "for_child that raises NotSupportedError with the reason"
        )
        server, name = bag.server()
        regions = ["region"] if Capability.SHARED_MEMORY in backend.capabilities else []
        child = children.start(programs.hand_over, name, *regions)
        receiver, outcome = server.accept(BOUND)
        bag.keep(receiver)
        if outcome != "done":
            pytest.skip(outcome)
        assert child.wait(BOUND) == 0
