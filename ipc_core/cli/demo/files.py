"""The files to hash: found in a folder, and loaded into shared memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from typing import NamedTuple

from ipc_core.channels.shared_memory import IpcSharedMemory
from ipc_core.spi.errors import IpcIOError

MOST_BYTES = 1 << 30
"""A larger file is skipped: the whole of it would have to fit into memory."""


class FileToHash(NamedTuple):
    """A regular file and its size in bytes when it was listed."""

    path: str
    size: int


class Unreadable(Exception):
    """A file that cannot be hashed; the text is the reason."""


def find_files(root: str, on_error: Callable[[str, str], None]) -> Iterator[FileToHash]:
    """Yield the regular files under `root`, or `root` itself, sorted by name in each folder.

    Symbolic links below `root` are neither followed nor yielded. `on_error` is called with the path
    and the reason of each file or folder that cannot be listed.
    """
    if not os.path.isdir(root):
        try:
            yield FileToHash(root, os.path.getsize(root))
        except OSError as error:
            on_error(root, _reason(error))
        return
    folders = [root]
    while folders:
        folder = folders.pop()
        inner = []
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            on_error(folder, _reason(error))
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                on_error(entry.path, _reason(error))
                continue
            if stat.S_ISDIR(status.st_mode):
                inner.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                yield FileToHash(entry.path, status.st_size)
        folders.extend(reversed(inner))


def load(path: str) -> IpcSharedMemory:
    """Return a region with the bytes of the file, read without a copy in between.

    Raises Unreadable when it cannot be read, is larger than MOST_BYTES or no regular file any
    more, or changes size meanwhile; IpcIOError when the system has no room for the region.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("not a regular file any more")
            if status.st_size > MOST_BYTES:
                raise Unreadable(f"larger than {MOST_BYTES >> 20} MiB")
            return _read(file, status.st_size)
    except IpcIOError:
        raise
    except OSError as error:
        raise Unreadable(_reason(error)) from error


def _open(path: str, flags: int) -> int:
    # A FIFO or a device may have taken the file's place: opening and reading must not wait.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(file: FileIO, size: int) -> IpcSharedMemory:
    """Read the whole file into a region. Raises Unreadable if its size is another."""
    region = IpcSharedMemory.from_byte(0, size)
    try:
        view = region.buffer_mut()
        filled = 0
        while filled < size:
            count = file.readinto(view[filled:])
            if not count:
                raise Unreadable("became shorter while it was read")
            filled += count
        if file.read(1):
            raise Unreadable("became longer while it was read")
    except BaseException:
        region.close()
        raise
    return region


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
