"""A system that refuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Let this process open no descriptor. Skips the test where there is no such limit."""
    if sys.platform == "win32":
        pytest.skip("this system does not limit descriptors")
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    except (OSError, ValueError) as error:
        pytest.skip(f"this system does not limit descriptors: {error}")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
