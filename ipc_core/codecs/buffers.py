"""Objects that are one run of memory are pickled as a buffer, which may lie beside the pickle."""

from __future__ import annotations

import copyreg
from array import array
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

from ipc_core.codecs import rebuild


def reduce_array(obj: array[Any]) -> tuple[Any, ...]:
    return rebuild.array, (obj.typecode, PickleBuffer(obj))


def reduce_view(obj: memoryview) -> tuple[Any, ...]:
    """A view that is not contiguous is copied. Raises TypeError for an element or a shape that
    memoryview.cast does not make."""
    format, shape = obj.format, obj.shape or ()
    try:
        obj.cast("B")
        data: Any = obj
    except (TypeError, ValueError):
        data = obj.tobytes() if obj.readonly else bytearray(obj.tobytes())
    try:
        rebuild.view(bytes(obj.itemsize), format, (1,) * len(shape))
        if 0 in shape and len(shape) > 1:
            raise TypeError("it is empty")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"cannot pickle a memoryview of format {format!r} and shape {shape}: {error}"
        ) from error
    return rebuild.view, (PickleBuffer(data), format, shape)


REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    array: reduce_array,
    memoryview: reduce_view,
}


class DispatchTable(dict[type, Any]):
    """These, and what is registered with copyreg now or later.

    The lookup of what is missing runs no Python code: the pickler makes one for each instance.
    """

    __missing__ = copyreg.dispatch_table.__getitem__


TABLE = DispatchTable(REDUCERS)
