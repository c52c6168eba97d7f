"""Large payloads at the receiver: in memory of their sender, copied or mapped where they lie.

The first byte of the memory is its state. It lies in the memory itself, so that a receiver that was
moved to another process can change it too. A peer that writes a false state byte corrupts only its
own payloads.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable

from ipc_backend_unix.descriptors import (
    Descriptor,
    filled,
    is_kept_from_shrinking,
    keep_from_shrinking,
    read_at,
    read_into,
)
from ipc_core.spi import DecodeError

FREE = b"\0"
"""The receiver has finished with the payload."""
SENT = b"\1"
"""The payload is unread, or being copied."""
HELD = b"\2"
"""A receiver has mapped the payload, perhaps for long."""

HEAD_SIZE = 64
"""Bytes before the payload, so that its parts are aligned in memory as in the payload."""

SMALLEST_MAPPED = 512 << 10
"""Below this a copy costs less than a mapping and its page faults."""

MOST_HELD = 64
"""The number of pieces of senders' memory that this process has, unread or mapped, before more are
copied: each costs a descriptor, or two before Python 3.13."""


class _Epoch:
    """The time between two forks."""


_epoch: _Epoch | None = _Epoch()
"""None during a fork. After a fork two processes have the memory that was unread or mapped before,
and neither knows when the other is done with it. So neither marks it as free, and its sender does
not use it again."""

_held: set[int] = set()
"""The descriptors of all MemoryPayloads."""


class MemoryPayload(Descriptor):
    """See PeerMemory. Closing or dropping it, or the last view of its `map`, frees the memory."""

    __slots__ = ("_sealed", "_since", "_size")

    def __init__(self, fd: int, size: int) -> None:
        """Take over the descriptor. Raises DecodeError for memory that is too small or sparse.

        Only pages that the peer has filled are used, so a sparse file of any nominal size costs
        nothing here.
        """
        self._since: _Epoch | None = None  # a stranger's file is not written to
        super().__init__(fd)
        _held.add(fd)
        try:
            self._sealed = is_kept_from_shrinking(fd)
            held = filled(fd)
            if HEAD_SIZE + size > held:
                raise DecodeError(f"a payload of {size} bytes lies in memory of {held}")
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise DecodeError(f"a payload's descriptor is not memory: {error}") from error
            raise
        self._size = size
        self._since = _epoch

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """See PeerMemory.read. Reading, unlike a mapping, cannot raise SIGBUS."""
        try:
            return read_at(self.fd, HEAD_SIZE, self._size)
        finally:
            self.close()

    def map(self) -> memoryview:
        """See PeerMemory.map. Mapped memory cannot shrink any more, and had all its pages."""
        if self._size >= SMALLEST_MAPPED:
            try:
                return self._mapped()
            except (OSError, ValueError):
                pass  # it has shrunk, cannot be sealed or written, or has no descriptor left
        try:
            copy = bytearray(self._size)
            read_into(self.fd, copy, HEAD_SIZE)
            return memoryview(copy)
        finally:
            self.close()

    def _mapped(self) -> memoryview:
        if not self._sealed:
            keep_from_shrinking(self.fd)
        # Memory of huge pages, which may be refused when they are touched, cannot be written so.
        os.pwrite(self.fd, HELD, 0)
        mapping = _private_mapping(self.fd, HEAD_SIZE + self._size)  # checks the memory's size
        mapping.memory = self
        return memoryview(mapping)[HEAD_SIZE:]

    def close(
        self,
        close: Callable[[int], None] = os.close,
        write: Callable[[int, bytes, int], int] = os.pwrite,
        held: set[int] = _held,
    ) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd < 0:
            return
        held.discard(fd)  # first: the number may be used again at once
        if self._since is not None and self._since is _epoch:
            try:
                write(fd, FREE, 0)
            except OSError:
                pass  # a peer that made its memory unwritable does without
        close(fd)

    __del__ = close


class _Mapping(mmap.mmap):
    """A mapping that keeps the payload, so that dropping the last view marks the memory as free."""

    memory: MemoryPayload


def _private_mapping(fd: int, size: int) -> _Mapping:
    if sys.version_info >= (3, 13):
        return _Mapping(fd, size, access=mmap.ACCESS_COPY, trackfd=False)
    return _Mapping(fd, size, access=mmap.ACCESS_COPY)


def open_payload(fd: int, size: int) -> MemoryPayload | bytes:
    """Return the payload in a peer's memory, copied if this process has many already.

    Takes over the descriptor, also on errors. Raises DecodeError if the memory does not hold the
    payload.
    """
    memory = MemoryPayload(fd, size)
    return memory if len(_held) <= MOST_HELD else memory.read()


def _before_fork() -> None:
    global _epoch
    _epoch = None


def _after_fork() -> None:
    global _epoch
    _epoch = _Epoch()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
