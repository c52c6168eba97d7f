"""Regions as memfds."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from typing import Any

import pytest
from ipc_backend_unix import memory
from ipc_backend_unix.memory import UnixSharedMemory

from ipc_core import IpcSharedMemory
from ipc_core.plugins import choice
from ipc_core.spi import Backend, IpcIOError
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors

SIZE = 1 << 20


@pytest.fixture
def unix() -> Backend:
    return choice.backend("unix")


def passed(unix: Backend, bag: Bag, region: Any) -> UnixSharedMemory:
    tx, rx = bag.os_channel(unix)
    tx.send(b"", [region])
    arrived: UnixSharedMemory = bag.os_recv(rx)[1][0]
    tx.close()
    rx.close()
    return arrived


def test_a_region_that_comes_back_is_mapped_once(unix: Backend) -> None:
    """A region that this process has costs neither a descriptor nor page faults again."""
    with Bag() as bag:
        region = bag.keep(unix.shared_memory(b"x" * SIZE))
        mapping = region.buffer.obj
        before = descriptors()
        again = [passed(unix, bag, region) for _ in range(10)]
        assert all(handle.buffer.obj is mapping for handle in again)
        assert descriptors() == before
        region.close()
        for handle in again[1:]:
            handle.close()
        assert again[0].buffer[-1] == ord("x")


def test_regions_of_the_same_size_are_told_apart(unix: Backend) -> None:
    with Bag() as bag:
        made = [bag.keep(unix.shared_memory(bytes([i]) * 5000)) for i in range(20)]
        arrived = [passed(unix, bag, region) for region in made]
        made[3].close()
        arrived[3].close()
        made[3] = bag.keep(unix.shared_memory(bytes([3]) * 5000))
        arrived[3] = passed(unix, bag, made[3])
        assert [handle.buffer[0] for handle in arrived] == list(range(20))


def test_a_region_is_forgotten_with_its_last_handle_and_view(unix: Backend) -> None:
    before = descriptors(), len(memory._regions)
    region = unix.shared_memory(SIZE)
    view = region.buffer
    region.close()
    view[0] = 1
    del region, view
    assert (descriptors(), len(memory._regions)) == before


@pytest.mark.parametrize("strict", [False, True])
def test_pages_are_asked_for_where_the_kernel_keeps_account(
    unix: Backend, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    """Pages are taken at once under strict account, since the kernel would kill a process that
    touches more than there are. Elsewhere they are taken by and by."""
    monkeypatch.setattr(memory, "_keeps_strict_account", lambda: strict)
    with Bag() as bag:
        region: Any = bag.keep(unix.shared_memory(SIZE))
        assert os.fstat(region.region.memory.fd).st_blocks * 512 == (SIZE if strict else 0)
        assert not any(region.buffer)


def test_memory_that_is_refused_when_it_is_asked_for(
    unix: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error where the region is made (injected)."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(memory, "_keeps_strict_account", lambda: True)
    before = descriptors()
    with monkeypatch.context() as patch, pytest.raises(IpcIOError) as caught:
        patch.setattr(os, "posix_fallocate", refuse)
        unix.shared_memory(SIZE)
    assert caught.value.errno == errno.ENOSPC
    caught.value.__traceback__ = None
    del caught
    assert descriptors() == before
    unix.shared_memory(SIZE).close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: IpcSharedMemory.from_byte(7, 5 * SIZE, backend="unix"),
        lambda: IpcSharedMemory.from_bytes(bytes(5 * SIZE), backend="unix"),
        lambda: IpcSharedMemory.empty(5 * SIZE, backend="unix"),
    ],
    ids=["from_byte", "from_bytes", "empty"],
)
def test_a_limit_in_the_middle(make: Callable[[], IpcSharedMemory]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * SIZE + 5, hard))
    try:
        with pytest.raises(IpcIOError, match="RLIMIT_FSIZE"):
            make()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with make() as region:
        assert len(region) == 5 * SIZE
