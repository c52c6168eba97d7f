"""Reductions of arrays and memoryviews to buffers, which may lie beside the pickle.

Messages refer by name to `make_array` and `make_view`, which the receiver calls.
"""

from __future__ import annotations

import copyreg
from array import array
from collections.abc import Callable

from ipc_core.codecs.cpickle import PickleBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def reduce_array(obj: array[Any]) -> tuple[Any, ...]:
    """Reduce an array to a buffer on its memory."""
    return make_array, (obj.typecode, PickleBuffer(obj))


def reduce_view(obj: memoryview) -> tuple[Any, ...]:
    """Reduce a view to a buffer on its memory, or on a copy if it is not contiguous.

    Raises TypeError for a format or a shape that memoryview.cast does not make.
    """
    format, shape = obj.format, obj.shape or ()
    try:
        obj.cast("B")
        data: Any = obj
    except (TypeError, ValueError):
        data = obj.tobytes() if obj.readonly else bytearray(obj.tobytes())
    try:
        make_view(bytes(obj.itemsize), format, (1,) * len(shape))  # a trial with one element
        if 0 in shape and len(shape) > 1:
            raise TypeError("it is empty")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"cannot pickle a memoryview of format {format!r} and shape {shape}: {error}"
        ) from error
    return make_view, (PickleBuffer(data), format, shape)


def make_array(typecode: str, data: Any) -> array[Any]:
    """Make an array. It owns its memory, so this is the one copy on the receiver's side."""
    made: array[Any] = array(typecode)
    made.frombytes(data)
    return made


def make_view(data: Any, format: str, shape: tuple[int, ...]) -> memoryview:
    """Make a view of the received memory, read-only if that is."""
    flat: Any = memoryview(data)
    if not flat.nbytes:  # cast refuses empty memory
        some: Any = memoryview(bytearray(16))
        empty: memoryview = some.cast(format)[:0]
        return empty.toreadonly() if flat.readonly else empty
    flat = flat.cast("B")
    made: memoryview = flat.cast(format) if len(shape) == 1 else flat.cast(format, shape)
    return made


REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    array: reduce_array,
    memoryview: reduce_view,
}


class DispatchTable(dict[type, object]):
    """These reducers, and those registered with copyreg now or later.

    The lookup of a missing key runs no Python code: the pickler makes one for each instance.
    """

    __missing__ = copyreg.dispatch_table.__getitem__


TABLE: Any = DispatchTable(REDUCERS)
