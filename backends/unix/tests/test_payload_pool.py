"""Large payloads in memory that is used again."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ipc_backend_unix.payload_pool import KEPT_REGIONS, LARGEST_KEPT

from ipc_core.messages.message import copied
from ipc_core.plugins import choice
from ipc_core.spi import OsIpcReceiver, OsIpcSender

LARGE = 100_000


@pytest.fixture
def ends() -> Iterator[tuple[OsIpcSender, OsIpcReceiver]]:
    tx, rx = choice.backend("unix").channel()
    yield tx, rx
    tx.close()
    rx.close()


def regions(tx: OsIpcSender) -> list[int]:
    pool = tx._writer._pool  # type: ignore[attr-defined]
    return [region.fd for region in pool._regions] if pool else []


def test_memory_that_was_read_is_used_again(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    for i in range(50):
        payload = bytes([i]) * (LARGE + i)
        tx.send(payload)
        assert copied(rx.recv(1)[0]) == payload
    assert len(regions(tx)) == 1


def test_memory_that_was_not_read_is_left_alone(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    payloads = [bytes([i]) * LARGE for i in range(20)]
    for payload in payloads:
        tx.send(payload)
    assert len(regions(tx)) == KEPT_REGIONS
    assert [copied(rx.recv(1)[0]) for _ in payloads] == payloads


def test_a_payload_too_large_to_keep(ends: tuple[OsIpcSender, OsIpcReceiver]) -> None:
    tx, rx = ends
    payload = os.urandom(1 << 20) * (LARGEST_KEPT >> 20) + b"x"
    tx.send(payload)
    assert regions(tx) == []
    assert copied(rx.recv(1)[0]) == payload


def test_memory_is_given_back_when_the_receiver_is_gone(
    ends: tuple[OsIpcSender, OsIpcReceiver],
) -> None:
    tx, rx = ends
    tx.send(bytes(LARGE))
    rx.close()
    with pytest.raises(BrokenPipeError):
        tx.send(bytes(LARGE))
    assert regions(tx) == []
