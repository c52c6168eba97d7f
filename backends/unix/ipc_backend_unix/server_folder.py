"""The private folders in which servers wait, and the removal of those that killed servers left."""

from __future__ import annotations

import _socket
import atexit
import errno
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator

from ipc_backend_unix.descriptors import Socket
from ipc_backend_unix.errors import io_error
from ipc_core.spi import BriefLock

WAITING = "waiting"
"""The name of a server's socket in its folder, before a client claims it."""
TAKEN = "taken"
"""The name to which the first client renames the socket."""
LONGEST_FOLDER = 60
"""Bytes. An address is at most 107 bytes long (unix(7)); a long TMPDIR is passed over."""

_NEW = "new-"
_NEW_SECONDS = 60
"""The age after which a folder that is still new counts as left behind."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Folder:
    """A folder that only this user can enter, with a socket in it that listens.

    It is removed with this object, and at the latest when the interpreter exits; in a forked
    child it is the parent's, and stays.
    """

    def __init__(self, base: str, listener: Socket) -> None:
        name = _random()
        self.path = os.path.join(base, _prefix() + name)
        fresh = os.path.join(base, _NEW + _prefix() + name)
        with _changing:
            if _exiting:
                raise OSError(errno.ESHUTDOWN, "the interpreter is exiting")
            self._entry = os.getpid(), fresh, self.path
            _entries.add(self._entry)
            os.mkdir(fresh, 0o700)
            listener.bind(f"{fresh}/{WAITING}")
            listener.listen(0)
            # Only now: a folder of this name without a living socket counts as left behind.
            os.rename(fresh, self.path)

    def remove(self) -> None:
        """Remove the folder. Removing twice does nothing."""
        with _changing:
            if self._entry in _entries:
                _remove_entry(self._entry)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if hasattr(self, "_entry") and not is_finalizing():  # all were removed at exit
            self.remove()


_Entry = tuple[int, str, str]

_entries: set[_Entry] = set()
"""The folders to remove: the process that made each, and the names that it may have."""

_changing = BriefLock()
_exiting = False


@atexit.register
def _remove_all() -> None:
    """Remove every folder at exit. Daemon threads go on for a while; they can make no more."""
    global _exiting
    with _changing:
        _exiting = True
        for entry in tuple(_entries):
            _remove_entry(entry)


def _remove_entry(entry: _Entry) -> None:
    maker, *folders = entry
    if maker == os.getpid():
        _remove(*folders)
    _entries.discard(entry)  # last: interrupted before, it is done again


def occupy() -> tuple[Folder, Socket]:
    """Make a socket that listens in a fresh folder; return both.

    Raises IpcIOError when the system refuses in every temporary folder.
    """
    code, reason = errno.ENAMETOOLONG, "no temporary folder has a short and printable name"
    for base in _bases():
        _remove_leftovers(base)
        listener = None
        try:
            listener = Socket()
            return Folder(base, listener), listener
        except OSError as error:
            code, reason = error.errno or 0, str(error)
            if listener:
                listener.close()
    raise io_error(code, f"no server can be made in a temporary folder: {reason}")


def _remove(*folders: str) -> None:
    for folder in folders:
        for name in (WAITING, TAKEN):
            try:
                os.unlink(f"{folder}/{name}")
            except OSError:
                pass  # it has the other name
        try:
            os.rmdir(folder)
        except OSError:
            pass  # somebody else cleans temporary folders


def _bases() -> Iterator[str]:
    import tempfile  # slow to import, and not needed by a child that connects

    try:
        chosen = os.path.abspath(tempfile.gettempdir())
    except OSError:
        chosen = "/tmp"
    for base in (chosen, "/tmp", "/var/tmp"):
        if len(os.fsencode(base)) <= LONGEST_FOLDER and base.isprintable():
            yield base


def _random() -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(os.urandom(15)).decode()


@functools.cache
def _prefix() -> str:
    """Return the prefix of this kernel's folders: over a network others may see the same place."""
    try:
        with open(_BOOT_ID, encoding="ascii") as boot_id:
            return f"ipc-{boot_id.read(8)}-"
    except OSError:
        return "ipc-"


@functools.cache  # once in a process: the folder may be long
def _remove_leftovers(base: str) -> None:
    """Remove the folders that killed servers of this user left in a temporary folder."""
    if _prefix() == "ipc-":
        return
    try:
        with os.scandir(base) as entries:
            mine = _prefix(), _NEW + _prefix()
            folders = [entry for entry in entries if entry.name.startswith(mine)]
    except OSError:
        return
    for folder in folders:
        try:
            if folder.stat(follow_symlinks=False).st_uid == os.geteuid() and _is_left(folder):
                _remove(folder.path)
        except OSError:
            pass  # it has just been removed, or is not for us to enter


def _is_left(folder: os.DirEntry[str]) -> bool:
    if folder.name.startswith(_NEW):
        return time.time() - folder.stat(follow_symlinks=False).st_mtime > _NEW_SECONDS
    # In this order: a client renames the one to the other.
    return not (_is_bound(f"{folder.path}/{WAITING}") or _is_bound(f"{folder.path}/{TAKEN}"))


def _is_bound(path: str) -> bool:
    """Return whether a socket lives at a path. A probe of another type does not connect."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    try:
        probe.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        pass  # EPROTOTYPE: a living socket of the other type
    finally:
        probe.close()
    return True
