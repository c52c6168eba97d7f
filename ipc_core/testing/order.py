"""The order in which the tests of the kit run, and the few that a quick run has."""

from __future__ import annotations

import pytest

from ipc_core.testing.summary import is_of_the_kit

_TRANSPORT = "ipc_core.testing.suite.transport."


def put_in_order(items: list[pytest.Item]) -> None:
    """Sort the tests of the kit as `BackendConformance` lists their classes: the transport first.

    Tests of other suites keep their places, and so do those of one class among each other.
    """
    places = [place for place, item in enumerate(items) if is_of_the_kit(item)]
    if not places:
        return
    from ipc_core.testing.suite.conformance import BackendConformance

    ranks = {cls: rank for rank, cls in enumerate(BackendConformance.__mro__)}
    groups: dict[object, int] = {}

    def key(item: pytest.Item) -> tuple[int, int]:
        collected = item.cls  # type: ignore[attr-defined]
        group = collected if collected not in ranks else None
        return groups.setdefault(group, len(groups)), ranks.get(_defining_class(item), -1)

    ordered = sorted((items[place] for place in places), key=key)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def leave_out_the_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep, of the tests of the kit, the transport's own that are not marked as slow."""
    slow = [item for item in items if is_of_the_kit(item) and not _is_quick(item)]
    if slow:
        left_out = set(slow)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=slow)


def _is_quick(item: pytest.Item) -> bool:
    defining = _defining_class(item).__module__
    return _TRANSPORT in defining and not item.get_closest_marker("ipc_slow")


def _defining_class(item: pytest.Item) -> type:
    """The class of the suite in whose body the test stands."""
    name = getattr(item, "originalname", item.name)
    cls: type = item.cls  # type: ignore[attr-defined]
    return next((base for base in cls.__mro__ if name in vars(base)), cls)
