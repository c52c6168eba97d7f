"""Descriptors that a program started from here has: none of ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ipc_core.spi import Backend, Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import drops, each_test, requires
from ipc_core.testing.payloads import MIB
from ipc_core.testing.waiting import BOUND


@each_test(drops)
class TestInheritance:
    @requires(Capability.CROSS_PROCESS, Capability.SHARED_MEMORY)
    def test_nothing_is_inherited(self, bag: Bag, backend: Backend) -> None:
        """I85, W22, W23: a program started with every inheritable descriptor has none of ours."""
        if sys.platform == "win32" or not os.path.isdir("/proc/self/fd"):
            pytest.skip("this system does not list descriptors")
        before = inherited()
        tx, rx = bag.channel()
        sub_tx, sub_rx = bag.channel()
        region = bag.region(b"region")
        views = [region.buffer, bag.keep(region.clone()).buffer]
        receivers = bag.receiver_set()
        receivers.add(bag.channel()[1])
        receivers.wait(0)
        bag.keep(sub_rx)
        _, bytes_rx = bag.bytes_channel()
        if Capability.FILENO in backend.capabilities:
            bytes_rx.fileno()
        count = 2000 if Capability.UNBOUNDED in backend.capabilities else 10
        for number in range(count):  # a backend keeps open the files of a long queue
            tx.send((number, region if number % 500 == 499 else None))
        tx.send([sub_tx, bag.channel()[1], region, b"x" * MIB])
        for _ in range(count):
            rx.recv()
        for received in rx.recv()[:3]:
            bag.keep(received)
        for number in range(count):
            tx.send((number, sub_tx if number % 500 == 499 else None))
        for _ in range(count // 2):
            rx.recv()
        server, name = bag.server()
        waiting, _ = bag.server()
        bag.connect(name).send(1)
        bag.keep(server.accept(BOUND)[0])
        assert inherited() == before
        del views, waiting


def inherited() -> list[str]:
    """The descriptors that a program started from here has."""
    listing = "import os; print([(n, os.readlink(f'/proc/self/fd/{n}')) for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')])"  # noqa: E501
    null = subprocess.DEVNULL
    done = subprocess.run(
        [sys.executable, "-I", "-c", listing],
        close_fds=False,
        stdin=null,
        stdout=subprocess.PIPE,
        timeout=BOUND,
        check=True,
    )
    found: list[str] = [
        entry for entry in eval(done.stdout) if not entry[1].startswith(("pipe:", "/proc/"))
    ]
    return found
