"""A pytest plugin: every test leaves as many rights and regions as it found, and did nothing that
a strict kernel would call an error."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from macos_on_fake_kernel import report, set_up, unaccounted

from ipc_backend_macos import attendant, destination


def pytest_configure() -> None:
    set_up()
    attendant.attend()


@pytest.fixture(autouse=True)
def rights_are_level() -> Iterator[None]:
    gc.collect()
    before = report()
    yield
    gc.collect()
    assert not destination.held_messages()
    assert not unaccounted()
    after = report()
    assert not after["violations"], after["violations"]
    assert _level(after) == _level(before), "the test left rights, or gave back too many"


def _level(report: dict[str, Any]) -> Any:
    return sorted(map(str, report["names"].values())), report["regions"]
