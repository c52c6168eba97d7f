"""Memory that several processes share, sent by reference."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from io import BufferedIOBase, RawIOBase
from itertools import chain, repeat
from operator import index

import ipc_core._typing as t
from ipc_core.messages.attachable import Attachable
from ipc_core.plugins import choice
from ipc_core.spi import Backend, Buffer, Kind
from ipc_core.spi.handles import contiguous

_CHUNK = 1 << 20
"""Bytes that are filled, read or compared at a time."""


class IpcSharedMemory(Attachable):
    """A region of fixed size. A process that receives it in a message sees the same bytes.

    It has no name and nothing to unlink: the memory is freed when the last handle and view in
    any process is gone. Two regions are equal when their bytes are.
    """

    __slots__ = ()
    _kind: t.ClassVar[Kind] = Kind.SHARED_MEMORY
    __hash__: t.ClassVar[None]  # type: ignore[assignment]

    @classmethod
    def from_bytes(cls, data: Buffer, *, backend: str | Backend | None = None) -> IpcSharedMemory:
        """Make a region with a copy of `data`, any object with bytes.

        Raises IpcIOError or MemoryError when there is no room, NotSupportedError when the backend
        has no shared memory.
        """
        found = choice.backend(backend)
        return cls(found.shared_memory(contiguous(data)), found)

    @classmethod
    def from_byte(
        cls, byte: int, length: int, *, backend: str | Backend | None = None
    ) -> IpcSharedMemory:
        """Make a region of `length` bytes, each of value `byte` (0 to 255)."""
        if not 0 <= index(byte) <= 255:
            raise ValueError(f"a byte is from 0 to 255, not {byte}")
        if byte == 0:
            return cls.empty(length, backend=backend)
        size = _size(length)
        chunk = bytes((byte,)) * min(size, _CHUNK)
        rounds, rest = divmod(size, _CHUNK)
        chunks = chain(repeat(chunk, rounds), [chunk[:rest]])
        return cls._filled(chunks, size, backend)

    @classmethod
    def empty(cls, length: int, *, backend: str | Backend | None = None) -> IpcSharedMemory:
        """Make a region of `length` zero bytes, to be filled in place through `buffer_mut()`.

        On Linux memory is only taken when it is touched. A region larger than the machine's memory
        is refused here, but a process over the limit of its control group is killed by the kernel
        when it touches the region: there is no error to catch.
        """
        size = _size(length)
        found = choice.backend(backend)
        return cls(found.shared_memory(size), found)

    @classmethod
    def from_file(
        cls,
        file: str | os.PathLike[str] | t.BinaryIO | BufferedIOBase | RawIOBase,
        *,
        backend: str | Backend | None = None,
    ) -> IpcSharedMemory:
        """Make a region with a copy of a file, from its current position to its end.

        `file` is a path, or a file opened in binary mode, which stays open. Only one part of it at
        a time is in this process's own memory, unless the file cannot tell its length. Raises
        OSError for a file that cannot be read or that ends early.
        """
        if isinstance(file, (str, os.PathLike)):
            with open(file, "rb", buffering=0) as opened:
                return cls.from_file(opened, backend=backend)
        if not hasattr(file, "readinto"):
            raise TypeError(f"a path or a file opened in binary mode is needed, not {file!r}")
        size = _bytes_left(file)
        if not size:  # empty, or its length is unknown
            return cls.from_bytes(file.read(), backend=backend)
        return cls._filled(_parts(file, size), size, backend)

    @classmethod
    def _filled(
        cls, chunks: Iterable[Buffer], size: int, backend: str | Backend | None
    ) -> IpcSharedMemory:
        found = choice.backend(backend)
        return cls(found.filled_memory(chunks, size), found)

    @property
    def buffer(self) -> memoryview:
        """The bytes, read-only. Other holders may change them at any time.

        The view stays valid after `close`.
        """
        return self.buffer_mut().toreadonly()

    def buffer_mut(self) -> memoryview:
        """Return the bytes, writable. Every holder sees a change at once; nothing synchronises."""
        view: memoryview = self._handle.buffer[:]  # releasing it must not release the backend's
        return view

    def clone(self) -> t.Self:
        """Return another handle on the same memory."""
        return self._like(self._handle.clone())

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
        mine, others = self.buffer, other.buffer
        # Memoryviews compare byte by byte, ten times as slowly as bytes.
        return len(mine) == len(others) and all(
            bytes(mine[at : at + _CHUNK]) == bytes(others[at : at + _CHUNK])
            for at in range(0, len(mine), _CHUNK)
        )


def _size(length: int) -> int:
    """Return a length as an int. Raises ValueError or MemoryError if no region can have it."""
    size = index(length)
    if size < 0:
        raise ValueError(f"a length is at least 0, not {length}")
    if size > sys.maxsize:
        raise MemoryError(f"{length} bytes are more than there are addresses")
    return size


def _bytes_left(file: t.Any) -> int:
    """Return the number of bytes from a file's position to its end; 0 if it does not tell."""
    try:
        at: int = file.tell()
        end: int = file.seek(0, os.SEEK_END)
        file.seek(at)
    except (OSError, ValueError):
        return 0
    return max(0, end - at)


def _parts(file: t.Any, size: int) -> Iterator[memoryview]:
    """Yield the next `size` bytes of a file in parts, each in the memory of the one before."""
    memory = memoryview(bytearray(min(size, _CHUNK)))
    while size:
        count: int | None = file.readinto(memory[: min(size, _CHUNK)])
        if not count:
            raise OSError(errno.EIO, f"the file ends {size} bytes early")
        yield memory[:count]
        size -= count
