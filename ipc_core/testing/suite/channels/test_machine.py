"""Random programs, compared with a model."""

from __future__ import annotations

import pytest

from ipc_core.spi import Backend
from ipc_core.testing.fault_machine import FaultMachine
from ipc_core.testing.machine import run_machine


class TestMachine:
    @pytest.mark.timeout(300)
    def test_random_programs(self, level: None, backend: Backend) -> None:
        """I103: random operations on channels, sets and regions have the results of a model."""
        run_machine(backend.name)

    @pytest.mark.timeout(300)
    def test_random_programs_with_faults(self, level: None, backend: Backend) -> None:
        """I29, I34, I84, I87, I95: random operations agree with the model also when sends fail,
        signals interrupt, descriptors run out and processes are killed between the steps."""
        run_machine(backend.name, machine=FaultMachine)
