"""Fixtures for the tests of hostile peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from hostile_peer import Attacked, Peer

from ipc_core.plugins import choice
from ipc_core.spi import Backend
from ipc_core.testing.level import descriptors, warm_up


@pytest.fixture
def level_unix() -> Iterator[Backend]:
    """The backend; descriptors are as many after the test as before."""
    backend = choice.backend("unix")
    warm_up(backend)
    before = descriptors()
    yield backend
    assert descriptors() == before


@pytest.fixture
def attacked(level_unix: Backend) -> Iterator[Attacked]:
    """A channel, and an attacker among its senders."""
    tx, rx = level_unix.channel()
    with closing(tx), closing(rx), Peer.beside(tx) as peer:
        yield Attacked(tx, rx, peer)
