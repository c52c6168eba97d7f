"""Payloads that are copied or mapped where they lie."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from ipc_backend_unix.payload_pool import KEPT_REGIONS
from ipc_backend_unix.peer_memory import HEAD_SIZE, MOST_HELD, SMALLEST_MAPPED, MemoryPayload

from ipc_core.messages.message import copied
from ipc_core.plugins import choice
from ipc_core.spi import Buffer, OsIpcReceiver, OsIpcSender
from ipc_core.testing.level import descriptors, warm_up

SMALL = 100_000
LARGE = SMALLEST_MAPPED + 12_345
Ends = tuple[OsIpcSender, OsIpcReceiver]


@pytest.fixture
def ends() -> Iterator[Ends]:
    backend = choice.backend("unix")
    warm_up(backend)
    gc.collect()
    before = descriptors()
    tx, rx = backend.channel()
    yield tx, rx
    tx.close()
    rx.close()
    gc.collect()
    assert descriptors() == before


def passed(ends: Ends, payload: Buffer) -> MemoryPayload:
    """Send and receive a payload; return it unread."""
    tx, rx = ends
    tx.send(payload)
    arrived = rx.recv(1)[0]
    assert isinstance(arrived, MemoryPayload)
    return arrived


def memories(ends: Ends) -> list[int]:
    """The memfds that the sender keeps, in the order in which they were made."""
    return [os.fstat(region.fd).st_ino for region in ends[0]._writer._pool._regions]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_map_is_writable_and_this_receivers_own(ends: Ends, size: int) -> None:
    payload = os.urandom(size)
    view = passed(ends, payload).map()
    assert view == payload
    assert not view.readonly
    view[:4] = b"mine"
    other = passed(ends, payload)
    assert view[:4] == b"mine"
    assert copied(other) == payload


def test_a_large_payload_is_not_copied(ends: Ends) -> None:
    """The bytes lie where the sender wrote them, aligned as in the payload."""
    view = passed(ends, bytes(LARGE)).map()
    assert isinstance(view.obj, mmap.mmap)
    assert HEAD_SIZE % 64 == 0
    memory = ends[0]._writer._pool._regions[0]  # type: ignore[attr-defined]
    os.pwrite(memory.fd, b"untouched so far", HEAD_SIZE)
    assert bytes(view[:16]) == b"untouched so far"


@pytest.mark.parametrize("how", ["read", "map", "drop"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_memory_is_free_when_nothing_refers_to_it(ends: Ends, size: int, how: str) -> None:
    for number in range(20):
        payload = passed(ends, bytes([number]) * size)
        if how != "drop":
            assert set(payload.read() if how == "read" else payload.map()) == {number}
        del payload
    assert len(memories(ends)) == 1


def test_a_part_of_a_view_holds_the_memory(ends: Ends) -> None:
    kept = passed(ends, b"kept" * (LARGE // 4)).map()[4:8]
    before = memories(ends)
    for _ in range(20):
        passed(ends, b"used" * (LARGE // 4)).map()
    assert kept == b"kept"
    assert len(memories(ends)) == 2
    del kept
    for _ in range(20):
        passed(ends, b"used" * (LARGE // 4)).map()
    assert memories(ends)[0] == before[0]
    assert len(memories(ends)) == 2


def test_memory_that_is_held_for_long_belongs_to_the_receiver(ends: Ends) -> None:
    """The sender makes new memory instead of going to its log, and keeps no more than ever."""
    tx, _ = ends
    held = [passed(ends, bytes([i]) * LARGE).map() for i in range(5 * KEPT_REGIONS)]
    assert tx._writer.log is None  # type: ignore[attr-defined]
    assert len(memories(ends)) == KEPT_REGIONS
    assert [view[-1] for view in held] == list(range(5 * KEPT_REGIONS))
    assert len({id(view.obj) for view in held}) == len(held)


def test_more_than_a_process_should_hold_is_copied(ends: Ends) -> None:
    """Each unread payload costs descriptors, of which there may be few."""
    level = descriptors()
    views = [passed_on(ends, number) for number in range(3 * MOST_HELD)]
    assert descriptors() - level <= 2 * MOST_HELD + KEPT_REGIONS
    assert [bytes(view[:1])[0] for view in views] == list(range(3 * MOST_HELD))
    assert sum(isinstance(view.obj, mmap.mmap) for view in views) == MOST_HELD
    views.clear()
    assert isinstance(passed_on(ends, 1).obj, mmap.mmap)


def passed_on(ends: Ends, number: int) -> memoryview:
    """The view of a payload, wherever it comes to lie."""
    ends[0].send(bytes([number]) * LARGE)
    arrived: Any = ends[1].recv(1)[0]
    return memoryview(arrived) if isinstance(arrived, bytes) else arrived.map()


def test_the_last_descriptors(ends: Ends) -> None:
    """A payload is a copy if no descriptor is left for a mapping."""
    arrived = passed(ends, b"x" * LARGE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null", "rb") as file:
        free = file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        view = arrived.map()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert view == b"x" * LARGE
    del arrived, view
    assert passed(ends, b"y" * LARGE).read() == b"y" * LARGE
    assert len(memories(ends)) == 1


def test_no_room_for_a_mapping_or_a_copy(ends: Ends) -> None:
    """An error for this payload, and the next one arrives."""
    arrived = passed(ends, bytes(64 << 20))
    with open("/proc/self/statm", encoding="ascii") as statm:
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + (8 << 20), hard))
    try:
        with pytest.raises(MemoryError):
            arrived.map()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert copied(passed(ends, b"next" * SMALL)) == b"next" * SMALL
    assert len(memories(ends)) == 1


def test_memory_that_cannot_be_mapped_is_copied(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipc_backend_unix import peer_memory

    def refuse(*_: object) -> Any:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    arrived = passed(ends, b"x" * LARGE)
    monkeypatch.setattr(peer_memory, "_private_mapping", refuse)
    view = arrived.map()
    assert view == b"x" * LARGE
    view[0] = 0
    del arrived
    assert copied(passed(ends, b"y" * LARGE)) == b"y" * LARGE
    assert len(memories(ends)) == 1


def test_huge_pages(ends: Ends) -> None:
    """A copy: huge pages cannot be mapped safely, since none may be left to fill a hole."""
    size = 2 << 20
    fd = os.memfd_create("huge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
    try:
        os.ftruncate(fd, size)
        try:
            memory = mmap.mmap(fd, size)
        except OSError:
            pytest.skip("no huge pages are set aside (vm.nr_hugepages)")
        memory[:] = b"h" * size
        view = MemoryPayload(os.dup(fd), size - HEAD_SIZE).map()
        assert isinstance(view.obj, bytearray)
        assert view == b"h" * (size - HEAD_SIZE)
        memory.close()
    finally:
        os.close(fd)


@pytest.mark.parametrize("state", ["unread", "mapped"])
@pytest.mark.parametrize("who", ["parent", "child"])
def test_after_a_fork_memory_is_never_free(ends: Ends, state: str, who: str) -> None:
    """Parent and child have the memory then, and neither knows when the other is done."""
    tx, _ = ends
    payload = b"both" * (LARGE // 4)
    arrived = passed(ends, payload)
    have: Any = arrived.map() if state == "mapped" else arrived
    del arrived
    done, dropped = os.pipe()
    again, used = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if who == "child":
                del have
                os.write(dropped, b".")
            else:
                os.read(again, 1)
                assert (have.read() if state == "unread" else have) == payload
            status = 0
        finally:
            os._exit(status)
    if who == "parent":
        del have
    else:
        os.read(done, 1)
    for _ in range(3):
        passed(ends, b"used" * (LARGE // 4)).map()
    os.write(used, b".")
    assert os.waitpid(child, 0)[1] == 0
    if who == "child":
        assert (have.read() if state == "unread" else have) == payload
        del have
    for fd in (done, dropped, again, used):
        os.close(fd)
    assert len(memories(ends)) == 2
    assert tx._writer.log is None  # type: ignore[attr-defined]


def test_what_arrives_after_a_fork_is_freed(ends: Ends) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    for _ in range(10):
        passed(ends, bytes(LARGE)).map()
    assert len(memories(ends)) == 1


def test_writes_of_a_child_stay_in_the_child(ends: Ends) -> None:
    view = passed(ends, b"both" * (LARGE // 4)).map()
    view[:4] = b"mine"
    child = os.fork()
    if child == 0:
        view[:8] = b"achild's"
        os._exit(0)
    os.waitpid(child, 0)
    assert view[:8] == b"mineboth"


def test_a_receiver_that_was_moved_frees_too(ends: Ends) -> None:
    backend = choice.backend("unix")
    tx, rx = ends
    carrier_tx, carrier_rx = backend.channel()
    tx.send(b"x" * LARGE)
    carrier_tx.send(b"", [rx])
    moved: Any = carrier_rx.recv(1)[1][0]
    for _ in range(5):
        assert copied(moved.recv(1)[0]) == b"x" * LARGE
        tx.send(b"x" * LARGE)
    assert len(memories(ends)) == 1
    for end in (moved, carrier_tx, carrier_rx):
        end.close()


def test_a_map_outlives_both_ends() -> None:
    tx, rx = choice.backend("unix").channel()
    view = passed((tx, rx), b"x" * LARGE).map()
    tx.close()
    rx.close()
    assert view == b"x" * LARGE


def test_unread_payloads_of_a_set(ends: Ends) -> None:
    """Each payload holds its memory until it is read or dropped."""
    tx, rx = ends
    members = choice.backend("unix").receiver_set()
    members.add(rx, 1)
    for size in (LARGE, LARGE + 1):
        tx.send(bytes(size))
        ((_, payload, _),) = members.select(1)
        assert isinstance(payload, MemoryPayload)
        assert len(payload) == size
        del payload
    assert len(memories(ends)) == 1
    members.close()
