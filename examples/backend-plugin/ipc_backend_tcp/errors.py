"""The system's errors, translated at the edge."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ipc_core.spi import IpcError, IpcIOError


@contextmanager
def translated() -> Iterator[None]:
    """Turn the system's errors into the library's."""
    try:
        yield
    except IpcError:
        raise
    except OSError as error:
        text = error.strerror or str(error)
        raise IpcIOError(error.errno or errno.ETIMEDOUT, text) from error
