"""KeyboardInterrupt at every line of this backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ipc_core
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors
from ipc_core.testing.payloads import MIB
from ipc_core.testing.suite.channels.test_interrupts import (
    LONG,
    at_every_line,
    interrupt_send,
)

LINES = tuple(
    f"ipc_backend_unix.{module}"
    for module in (
        "attachments",
        "descriptor_queue",
        "incoming",
        "message",
        "overflow",
        "payload_pool",
        "wire",
        "writer",
    )
)
"""Not `descriptors` and `sender`: a descriptor, or a use of the writer, that has no owner yet is
lost."""


@pytest.fixture
def bag() -> Iterator[Bag]:
    ipc_core.set_default_backend("unix")
    before = descriptors()
    with Bag() as bag:
        yield bag
    ipc_core.set_default_backend(None)
    assert descriptors() == before


@pytest.mark.parametrize("queued", [0, LONG])
@pytest.mark.parametrize("size", [1, MIB])
def test_interrupted_at_every_line_of_a_send(bag: Bag, size: int, queued: int) -> None:
    """W2, W39: through the socket, through memory, and through a log."""
    at_every_line(lambda step: interrupt_send(bag, step, LINES, size, queued), 40)
