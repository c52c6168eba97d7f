"""Recovery of kernel handles: their move from another process's table into this one's.

Recovered handles replace the old ones, which are closed; a channel whose old handle stayed open
would be connected for ever. The system may give the number of a closed handle to the new one, so
the tests compare objects, not numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes.wintypes import BOOL, HANDLE

import pytest
from ipc_backend_windows import win32
from ipc_backend_windows.kernel_handles import (
    Handle,
    Process,
    new_event,
    opened,
    recover,
    this_process,
)
from ipc_backend_windows.section import View, new_section

from ipc_core.spi import Backend, Disconnected
from ipc_core.testing import programs
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.open_handles import handles

compare = ctypes.WinDLL("kernelbase").CompareObjectHandles
compare.argtypes = (HANDLE, HANDLE)
compare.restype = BOOL


@pytest.fixture
def kept() -> Iterator[list[Handle]]:
    """Second handles of a test's objects, by which it knows them again."""
    kept: list[Handle] = []
    yield kept
    for handle in kept:
        handle.close()


def second(handle: int) -> int:
    """Duplicate a handle of this process."""
    copied = ctypes.c_uint64()
    here = win32.CURRENT_PROCESS
    assert win32.DuplicateHandle(here, handle, here, ctypes.byref(copied), 0, False, 2)
    return copied.value


def put(kept: list[Handle], makes: list[Handle]) -> list[int]:
    """Detach handles, and keep a second one of each; return the numbers."""
    kept += [Handle(second(handle.value)) for handle in makes]
    return [handle.detach() for handle in makes]


def check(kept: list[Handle], recovered: list[int]) -> None:
    """Check that these are the kept objects, in order, and that each can be closed once."""
    assert all(compare(old.value, new) for old, new in zip(kept, recovered, strict=True))
    assert len(set(recovered)) == len(recovered)
    for handle in recovered:
        assert win32.CloseHandle(handle)


def test_nothing_to_recover() -> None:
    """B96, B98, B100: no handles are recovered as none."""
    assert recover([], this_process()) == []


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_events(kept: list[Handle], count: int) -> None:
    """B97, B101, B105: events, also a thousand, are the same objects afterwards, and the old
    handles are closed."""
    before = handles()
    old = put(kept, [new_event() for _ in range(count)])
    recovered = recover(old, this_process())
    if count < 100:  # they are counted up to a gap in their numbers, such as a thousand leave
        assert handles() == before + 2 * count
    check(kept, recovered)


@pytest.mark.parametrize("count", [3, 1000])
def test_memory(kept: list[Handle], count: int) -> None:
    """B99, B105: regions keep their memory and size."""
    old = put(kept, [new_section(4096) for _ in range(count)])
    recovered = recover(old, this_process())
    view = View(recovered[-1], 4096)
    view.bytes[4095] = 7
    other = View(kept[-1].value, 4096)
    assert other.bytes[4095] == 7
    for opened_view in (view, other):
        opened_view.close()
    check(kept, recovered)


def test_kinds_together(kept: list[Handle]) -> None:
    """B102: handles of all kinds in one message are recovered in order."""
    made = [new_event(), new_event(), new_event(), new_section(100), new_section(200)]
    check(kept, recover(put(kept, made), this_process()))


@pytest.mark.parametrize("numbers", [[], [1]])
def test_no_such_process(numbers: list[int]) -> None:
    """B103, B111: a process that cannot be opened is an error of the system."""
    with pytest.raises(OSError) as raised:
        recover(numbers, Process(0, 0))
    assert raised.value.winerror


def test_process_with_a_used_number() -> None:
    """B103: a process of the same id that was born at another time is not taken for it."""
    myself = this_process()
    with pytest.raises(OSError):
        opened(myself._replace(born=myself.born + 1))


def test_handles_that_are_closed(kept: list[Handle]) -> None:
    """B104: all or nothing: if one is not there, the others stay where they are."""
    old = put(kept, [new_event() for _ in range(3)])
    nobodys = 1 << 22  # not one just closed: a handle made on the way may get its number
    before = handles()
    with pytest.raises(OSError) as raised:
        recover([*old, nobodys], this_process())
    assert raised.value.winerror == win32.ERROR_INVALID_HANDLE
    assert handles() == before
    check(kept, old)


def test_ends_of_a_channel(bag: Bag, backend: Backend, kept: list[Handle]) -> None:
    """B106, B107: the handles of a sender and of a region work after they were recovered, and the
    sender's is the only one left: closing it disconnects."""
    tx, rx = bag.os_channel(backend)
    entry = tx._writer.entry(1)  # type: ignore[attr-defined]
    region = bag.keep(backend.shared_memory(1024))
    (pipe,) = recover([second(entry.first)], this_process())
    tx.close()
    assert compare(pipe, pipe)
    assert win32.CloseHandle(pipe)
    with pytest.raises(Disconnected):
        rx.recv(30)
    (section,) = recover([second(region.lend()[0].first)], this_process())  # type: ignore[attr-defined]
    view = View(section, 1024)
    view.bytes[0] = 9
    assert region.buffer[0] == 9
    view.close()
    win32.CloseHandle(section)


def test_out_of_another_process(bag: Bag, children: Children, kept: list[Handle]) -> None:
    """B108: handles come out of a process that is really another one, in order."""
    child, (to_child, _) = programs.meet(bag, children, programs.hold_sender)
    process = Handle(win32.OpenProcess(0x1040, False, child.pid))
    born = [ctypes.c_uint64() for _ in range(4)]
    assert win32.GetProcessTimes(process.value, *map(ctypes.byref, born))
    source = Process(child.pid, born[0].value)
    there = []
    for handle in (new_event(), new_section(1024), new_section(2048)):
        copied = ctypes.c_uint64()
        here = win32.CURRENT_PROCESS
        assert win32.DuplicateHandle(
            here, handle.value, process.value, ctypes.byref(copied), 0, False, 2
        )
        there.append(copied.value)
        kept.append(handle)
    check(kept, recover(there, source))
    process.close()
    sender, _ = bag.channel()
    to_child.send(sender)
    to_child.send("go")


@pytest.mark.parametrize("valid", [(True, False), (True, False, True, False, True)])
def test_pseudo_handles(kept: list[Handle], valid: tuple[bool, ...]) -> None:
    """B109, B110: -1 among them is this process's handle to itself, and is recovered as one."""
    made = [new_event() for good in valid if good]
    numbers = iter(put(kept, made))
    old = [next(numbers) if good else win32.INVALID_HANDLE_VALUE for good in valid]
    recovered = recover(old, this_process())
    assert len(recovered) == len(old)
    assert win32.INVALID_HANDLE_VALUE not in recovered
    for handle in recovered:
        assert win32.CloseHandle(handle)
