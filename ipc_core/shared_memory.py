"""Memory that several processes see, sent by reference."""

from __future__ import annotations

from typing import ClassVar

from ipc_core import registry
from ipc_core.attachable import Attachable
from ipc_core.spi import Backend, Buffer, Kind


class IpcSharedMemory(Attachable):
    """A region of fixed size. Whoever receives it in a message sees the same bytes.

    It has no name and nothing to unlink: the memory is freed when the last handle and view in
    any process is gone. Two regions are equal when their bytes are.
    """

    __slots__ = ()
    _kind: ClassVar[Kind] = Kind.SHARED_MEMORY
    __hash__: ClassVar[None]  # type: ignore[assignment]

    @classmethod
    def from_bytes(cls, data: Buffer, *, backend: str | Backend | None = None) -> IpcSharedMemory:
        """Make a region with a copy of `data`. Raises IpcIOError or MemoryError when there is no
        room, NotSupportedError when the backend has no shared memory."""
        found = registry.backend(backend)
        return cls(found.shared_memory(data), found)

    @classmethod
    def from_byte(
        cls, byte: int, length: int, *, backend: str | Backend | None = None
    ) -> IpcSharedMemory:
        """Make a region of `length` bytes, each of value `byte` (0 to 255)."""
        if not 0 <= byte <= 255:
            raise ValueError(f"a byte is from 0 to 255, not {byte}")
        if length < 0:
            raise ValueError(f"a length is at least 0, not {length}")
        if byte == 0:
            found = registry.backend(backend)
            return cls(found.shared_memory(length), found)
        return cls.from_bytes(bytes((byte,)) * length, backend=backend)

    @property
    def buffer(self) -> memoryview:
        """The bytes, read-only. Other holders may change them while you look. The view stays
        valid after `close`."""
        return self.buffer_mut().toreadonly()

    def buffer_mut(self) -> memoryview:
        """The bytes, writable. Every holder sees the change at once; nothing synchronises."""
        view: memoryview = self._handle.buffer[:]  # releasing it must not release the backend's
        return view

    def clone(self) -> IpcSharedMemory:
        """Another handle on the same memory."""
        return IpcSharedMemory(self._handle.clone(), self._backend)

    def take(self) -> bytes:
        """Close this handle and return the bytes."""
        data = bytes(self.buffer)
        self.close()
        return data

    def __len__(self) -> int:
        length: int = self._handle.__len__()
        return length

    def __bytes__(self) -> bytes:
        return bytes(self.buffer)

    def __buffer__(self, flags: int) -> memoryview:
        return self.buffer

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IpcSharedMemory):
            return NotImplemented
        return self.buffer == other.buffer
