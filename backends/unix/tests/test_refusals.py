"""The kit's test of refusals, with what the kernel may refuse here."""

from __future__ import annotations

import _socket
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from ipc_core.testing.suite.transport import test_refusals as kit


class TestUnix(kit.TestTransportRefusals):
    backend = "unix"

    @contextmanager
    def refuse(self) -> Iterator[None]:
        """Neither sockets nor memory."""
        error = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        with (
            patch.object(os, "memfd_create", side_effect=error),
            patch.object(_socket, "socketpair", side_effect=error),
        ):
            yield
