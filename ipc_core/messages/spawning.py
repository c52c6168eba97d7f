"""Endpoints and regions among the arguments of a multiprocessing.Process.

While multiprocessing starts a child by spawn or forkserver it pickles the arguments and can hand
over descriptors. The child gets copies; the parent's own stay as they are, as with fork.
"""

from __future__ import annotations

import sys

import ipc_core._typing as t
from ipc_core.plugins import choice
from ipc_core.spi import Backend


def hand_over(
    cls: type[t.Any], handle: t.Any, backend: Backend, details: tuple[t.Any, ...]
) -> tuple[t.Any, ...]:
    """Return the reduction of an endpoint or region outside a message.

    Raises TypeError unless a child is being started, and NotSupportedError for a backend that
    does not reach other processes.
    """
    context = sys.modules.get("multiprocessing.context")
    if context is None or context.get_spawning_popen() is None:
        raise TypeError(
            f"this {cls.__name__} can only travel in a message, tx.send(...) it, or as an "
            "argument of a multiprocessing.Process while that is started"
        )
    return _take_over, (cls, backend.name, backend.for_child(handle), *details)


def _take_over(cls: type[t.Any], backend_name: str, inheritable: object, *details: t.Any) -> object:
    """Rebuild the endpoint or region in the child."""
    backend = choice.backend(backend_name)
    return cls(backend.from_parent(inheritable), backend, *details)
