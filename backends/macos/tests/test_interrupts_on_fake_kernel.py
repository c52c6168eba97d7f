"""KeyboardInterrupt before every line of the backend, on the fake kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipc_backend_macos import lingering, locking, mach

import ipc_core
from ipc_core.testing.bag import Bag
from ipc_core.testing.suite.channels.test_interrupts import (
    at_every_line,
    interrupt_recv,
    interrupt_send,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake kernel needs Linux")

FOLDER = Path(__file__).parent / "on_fake_kernel"
MODULES = (
    "ipc_backend_macos.sender",
    "ipc_backend_macos.attachments",
    "ipc_backend_macos.remote_port",
    "ipc_backend_macos.gate",
    "ipc_backend_macos.lingering",
    "ipc_backend_macos.outgoing",
)
FULL = 8
"""Messages; the queues of these tests are short, so that a test of every line is."""


@pytest.fixture(scope="module")
def macos() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        patch.setattr(mach, "MACH_PORT_QLIMIT_LARGE", FULL)
        import macos_on_fake_kernel

        macos_on_fake_kernel.set_up()
        macos_on_fake_kernel.report()
        ipc_core.set_default_backend("macos")
        yield
        ipc_core.set_default_backend(None)


@pytest.fixture
def bag(macos: None) -> Iterator[Bag]:
    import macos_on_fake_kernel

    with Bag() as bag:
        yield bag
    assert not lingering.held_messages()
    assert not macos_on_fake_kernel.report()["violations"]


def unlocked(interrupt: Callable[[], bool]) -> bool:
    """Release LOCK after an interrupt: a trace function, unlike a signal, can raise between a
    `with` block and the release of its lock."""
    came = interrupt()
    lock: Any = locking.LOCK
    while lock._is_owned():
        lock.release()
    return came


@pytest.mark.parametrize("queued", [0, FULL, FULL + 1], ids=["empty", "full", "held"])
@pytest.mark.parametrize("size", [1, 100_000], ids=["small", "large"])
def test_every_line_of_a_send(bag: Bag, size: int, queued: int) -> None:
    at_every_line(
        lambda step: unlocked(lambda: interrupt_send(bag, step, MODULES, size, queued)), 30
    )


def test_every_line_of_a_receive(bag: Bag) -> None:
    modules = (
        "ipc_backend_macos.receiver.",
        "ipc_backend_macos.buffers",
        "ipc_backend_macos.incoming",
    )
    at_every_line(lambda step: unlocked(lambda: interrupt_recv(bag, step, modules)), 5)
