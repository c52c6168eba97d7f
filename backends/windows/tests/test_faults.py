"""Failures of the system that Wine cannot be brought to, from fakes of its calls."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from ipc_backend_windows import win32

from ipc_core.spi import Attachment, Backend, Disconnected, Empty, IpcIOError
from ipc_core.testing.bag import Bag
from ipc_core.testing.open_handles import handles as count_handles


class FakeDuplicateHandle:
    """The real call for the first `good` times, then one that fails for lack of memory."""

    def __init__(self, good: int) -> None:
        self._real = win32.DuplicateHandle
        self._good = good
        self.failed = 0

    def __call__(self, *arguments: Any) -> Any:
        closes = arguments[6] & win32.DUPLICATE_CLOSE_SOURCE
        if not closes:
            self._good -= 1
            if self._good < 0:
                self.failed += 1
                ctypes.set_last_error(win32.ERROR_NO_SYSTEM_RESOURCES)
                return 0
        return self._real(*arguments)


@pytest.mark.parametrize("good", range(6))
def test_failed_duplication_in_a_send(
    bag: Bag, backend: Backend, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """B83: a send in which any one handle cannot be copied raises, leaves no copy behind, and
    every attached handle as it was."""
    tx, rx = bag.os_channel(backend)
    sub_tx, sub_rx = bag.os_channel(backend)
    moved_tx, moved_rx = bag.os_channel(backend)
    region = bag.keep(backend.shared_memory(b"region"))
    moved_tx.send(b"queued")
    before = count_handles()
    fake = FakeDuplicateHandle(good)
    with monkeypatch.context() as patch:
        patch.setattr(win32, "DuplicateHandle", fake)
        attachments: list[Attachment] = [sub_tx, moved_rx, region, sub_tx]
        if good < 5:
            with pytest.raises(IpcIOError, match="memory"):
                tx.send(b"never", attachments)
        else:
            tx.send(b"all five", attachments)
    assert bool(fake.failed) == (good < 5)
    if good == 5:
        assert bag.os_recv(rx)[0] == b"all five"
        return
    assert count_handles() == before
    with pytest.raises(Empty):
        rx.recv(0)
    assert moved_rx.recv(30)[0] == b"queued"
    sub_tx.close()
    with pytest.raises(Disconnected):
        sub_rx.recv(30)
    tx.send(b"next")
    assert rx.recv(30)[0] == b"next"


@pytest.mark.parametrize("size", [1 << 20, 60_000])
def test_no_memory_for_a_send(
    bag: Bag, backend: Backend, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """B43: when the system has no memory, for a payload or for a longer queue, `send` raises, and
    every accepted message arrives."""
    tx, rx = bag.os_channel(backend)
    sent = 0

    def refuse(*arguments: Any) -> None:
        ctypes.set_last_error(win32.ERROR_COMMITMENT_LIMIT)

    with monkeypatch.context() as patch:
        patch.setattr(win32, "CreateFileMapping", refuse)
        with pytest.raises(IpcIOError, match="memory"):
            while True:
                tx.send(bytes(size))
                sent += 1
    assert sent == (1 if size < 1 << 16 else 0)
    tx.send(b"again")
    for _ in range(sent):
        assert rx.recv(30)[0] == bytes(size)
    assert rx.recv(30)[0] == b"again"


def test_failed_ring(bag: Bag, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """B82: a byte that does not reach the pipe costs no message: the queue has it."""
    tx, rx = bag.os_channel(backend)
    with pytest.raises(Empty):
        rx.recv(0.01)  # from now on the receiver waits for a ring

    def fail(*arguments: Any) -> int:
        ctypes.set_last_error(win32.ERROR_NO_SYSTEM_RESOURCES)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(win32, "WriteFile", fail)
        tx.send(b"silent")
    assert rx.recv(30)[0] == b"silent"
