"""Endpoints and regions among the arguments of a multiprocessing.Process.

While multiprocessing starts a child by spawn or forkserver it pickles the arguments and can hand
over descriptors. The child gets copies; what the parent has stays as it is, as with fork.
"""

from __future__ import annotations

import sys

from ipc_core.plugins import choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ipc_core.messages.attachable import Attachable


def hand_over(obj: Attachable) -> tuple[Any, ...]:
    """What `__reduce__` returns outside a message.

    Raises TypeError unless a child is being started, and NotSupportedError for a backend that
    does not reach other processes.
    """
    context = sys.modules.get("multiprocessing.context")
    if context is None or context.get_spawning_popen() is None:
        raise TypeError(
            f"this {type(obj).__name__} can only travel in a message, tx.send(...) it, or as an "
            "argument of a multiprocessing.Process while that is started"
        )
    backend = obj._backend
    parcel = backend.for_child(obj._owned())
    return _take_over, (type(obj), backend.name, parcel, *obj._details())


def _take_over(kind: type[Attachable], backend_name: str, parcel: Any, *details: Any) -> Attachable:
    backend = choice.backend(backend_name)
    return kind(backend.from_parent(parcel), backend, *details)
