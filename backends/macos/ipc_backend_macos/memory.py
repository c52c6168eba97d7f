"""Regions of memory that all holders share: Mach memory entries.

A memory entry is an object in the kernel, named by a send right, of which every mapping shows the
same pages. Out-of-line memory would not do: it is copied on write, so the receiver would not see
later writes of the sender. Browsers share memory in the same way.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.attachments import Lendable, Loan
from ipc_backend_macos.refcount import RefCounted
from ipc_core.spi import Buffer, ClosedError, DecodeError, IpcIOError, Kind, mend_after_fork


class Entry(RefCounted):
    """The mapped memory and the right that stands for it, shared by all handles of this process.

    A region of no bytes has neither. Views keep the mapping alive, handles the right.
    """

    def __init__(self, name: int, size: int) -> None:
        """Takes over the right, unless it raises IpcIOError."""
        super().__init__()
        self.name = name
        self.size = size
        if not size:
            self._bytes: Any = bytearray()
            return
        address = kernel.map_memory_entry(name, size)
        self._bytes = mapped(address, size)
        mend_after_fork(self)

    @property
    def view(self) -> memoryview:
        return memoryview(self._bytes).cast("B")

    def unused(self) -> None:
        name, self.name = self.name, 0
        kernel.release_send(name)

    def after_fork(self) -> None:
        self.name = 0


def mapped(address: int, size: int) -> Any:
    """Return an array of the memory at an address, unmapped when nothing refers to the array."""
    array = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(array, kernel.release_memory, address, size).atexit = False
    return array


class MacosSharedMemory(Lendable):
    """See OsIpcSharedMemory."""

    kind: ClassVar[Kind] = Kind.SHARED_MEMORY

    def __init__(self, entry: Entry) -> None:
        with locking.LOCK:
            entry.hold(self)
            self._entry: Entry | None = entry

    @property
    def buffer(self) -> memoryview:
        """See OsIpcSharedMemory.buffer."""
        return self._open_entry().view

    def __len__(self) -> int:
        return self._open_entry().size

    def clone(self) -> MacosSharedMemory:
        """See OsIpcSharedMemory.clone."""
        return MacosSharedMemory(self._open_entry())

    def check_lendable(self) -> None:
        """See Lendable.check_lendable. Raises ClosedError also in a forked child, which has the
        mapping and not the right."""
        entry = self._open_entry()
        if entry.size and not entry.name:
            raise ClosedError("regions cannot be sent by a forked process")

    def lend(self, loan: Loan) -> None:
        """See Lendable.lend."""
        entry = self._open_entry()
        if entry.size:
            loan.borrow(wire.REGION, entry.size, entry.name, entry)
        else:
            loan.add_empty_region()

    def close(self) -> None:
        """See OsIpcSharedMemory.close."""
        with locking.LOCK:
            entry, self._entry = self._entry, None
            if entry is not None:
                entry.drop(self)

    def _open_entry(self) -> Entry:
        if self._entry is None:
            raise ClosedError("this shared memory is closed")
        return self._entry

    def __del__(self) -> None:
        if getattr(self, "_entry", None) is not None:
            self.close()


def make_region(data_or_size: Buffer | int) -> MacosSharedMemory:
    """See Backend.shared_memory."""
    data = None if isinstance(data_or_size, int) else memoryview(data_or_size).cast("B")
    size = data_or_size if isinstance(data_or_size, int) else memoryview(data_or_size).nbytes
    if not size:
        return MacosSharedMemory(Entry(0, 0))
    region = _map_region(kernel.new_memory_entry(size), size)
    if data is not None:
        region.buffer[:] = data
    return region


def region_from_rights(names: Sequence[int], size: int) -> MacosSharedMemory:
    """Map a region that a peer has sent: by its account a memory entry of `size` bytes, or no right
    for a region of none. Takes over the right, also on errors.

    Raises DecodeError if the right is no such entry.
    """
    if not names:
        return MacosSharedMemory(Entry(0, 0))
    (name,) = names
    if name == mach.MACH_PORT_DEAD:
        raise DecodeError("a region in a message is gone")
    try:
        return _map_region(name, size)
    except IpcIOError as error:
        raise DecodeError(f"a region of {size} bytes cannot be mapped: {error}") from error


def _map_region(name: int, size: int) -> MacosSharedMemory:
    try:
        entry = Entry(name, size)
    except BaseException:
        kernel.release_send(name)
        raise
    return MacosSharedMemory(entry)
