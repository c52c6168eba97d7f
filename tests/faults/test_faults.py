"""A tenth of the runs of `make faults`."""

from __future__ import annotations

import pytest

from faults import Fault, load


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", load(), ids=str)
def test_nothing_is_lost_or_leaked(fault: Fault) -> None:
    outcome = fault.run(max(1, fault.runs // 10))
    assert outcome.lost == 0
    assert outcome.leaked == 0
    assert outcome.worst <= fault.within
