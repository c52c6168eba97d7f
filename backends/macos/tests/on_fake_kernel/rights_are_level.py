"""A pytest plugin: every test leaves as many rights and regions as it found, and makes no call that
a strict kernel would refuse."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from ipc_backend_macos import lingering, notifications
from macos_on_fake_kernel import report, set_up, unaccounted

_before: Any = None


def pytest_configure() -> None:
    set_up()
    notifications.port()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "[no descriptors]" in item.name:
            item.add_marker(pytest.mark.skip(reason="the fake kernel itself needs descriptors"))


def pytest_collection_finish() -> None:
    gc.freeze()  # collections after each test need not look at pytest again


@pytest.fixture(autouse=True)
def rights_are_level() -> Iterator[None]:
    global _before
    if _before is None:
        _before = _level(report())
    yield
    gc.collect()
    assert not lingering.held_messages()
    assert not unaccounted()
    before, after = _before, report()
    _before = _level(after)
    assert not after["violations"], after["violations"]
    assert _before == before, "the test left rights, or gave back too many"


def _level(report: dict[str, Any]) -> Any:
    return sorted(map(str, report["names"].values())), report["regions"]
