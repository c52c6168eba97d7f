"""Regions that all holders share: Mach memory entries.

A memory entry is an object in the kernel, named by a send right, of which every mapping shows the
same pages. Out-of-line memory would not do: it is copied on write, so the receiver would not see
what the sender writes later. Browsers share memory in the same way.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, ClassVar

from ipc_backend_macos import kernel, locking
from ipc_backend_macos.refcount import Shared
from ipc_core.spi import Buffer, ClosedError, DecodeError, IpcIOError, Kind, mend_after_fork


class Entry(Shared):
    """The memory, mapped here, and the right that stands for it; shared by all handles here.

    Without a byte there is neither. Views keep the mapping, handles the right.
    """

    def __init__(self, name: int, size: int) -> None:
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
    """An array of the memory at an address, which is unmapped when nothing refers to it."""
    array = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(array, kernel.release_memory, address, size).atexit = False
    return array


class MacosSharedMemory:
    """See OsIpcSharedMemory."""

    kind: ClassVar[Kind] = Kind.SHARED_MEMORY

    def __init__(self, entry: Entry) -> None:
        with locking.LOCK:
            entry.hold(self)
            self._entry: Entry | None = entry

    @property
    def entry(self) -> Entry:
        """Raises ClosedError after `close`."""
        if self._entry is None:
            raise ClosedError("this shared memory is closed")
        return self._entry

    @property
    def buffer(self) -> memoryview:
        """See OsIpcSharedMemory.buffer."""
        return self.entry.view

    def __len__(self) -> int:
        return self.entry.size

    def clone(self) -> MacosSharedMemory:
        """See OsIpcSharedMemory.clone."""
        return MacosSharedMemory(self.entry)

    def close(self) -> None:
        """See OsIpcSharedMemory.close."""
        with locking.LOCK:
            entry, self._entry = self._entry, None
            if entry is not None:
                entry.drop(self)

    def __del__(self) -> None:
        if getattr(self, "_entry", None) is not None:
            self.close()


def make_region(data_or_size: Buffer | int) -> MacosSharedMemory:
    """See Backend.shared_memory."""
    data = None if isinstance(data_or_size, int) else memoryview(data_or_size).cast("B")
    size = data_or_size if isinstance(data_or_size, int) else memoryview(data_or_size).nbytes
    if not size:
        return MacosSharedMemory(Entry(0, 0))
    region = claim_region(kernel.new_memory_entry(size), size)
    if data is not None:
        region.buffer[:] = data
    return region


def claim_region(name: int, size: int) -> MacosSharedMemory:
    """Map a memory entry; takes the right over, also when it fails. Raises IpcIOError."""
    try:
        entry = Entry(name, size)
    except BaseException:
        kernel.release_send(name)
        raise
    return MacosSharedMemory(entry)


def received_region(name: int, size: int) -> MacosSharedMemory:
    """`claim_region` of what a peer says is a memory entry of this size. Raises DecodeError."""
    try:
        return claim_region(name, size)
    except IpcIOError as error:
        raise DecodeError(f"a region of {size} bytes cannot be mapped: {error}") from error
