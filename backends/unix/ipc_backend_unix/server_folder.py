"""The private folders in which servers wait, and those that killed servers left."""

from __future__ import annotations

import errno
import functools
import os
import socket
from collections.abc import Iterator

from ipc_backend_unix.descriptors import Socket
from ipc_backend_unix.errors import io_error

WAITING = "waiting"
TAKEN = "taken"
LONGEST_FOLDER = 60
"""An address is at most 107 bytes long (unix(7)); a long TMPDIR is passed over."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def occupy(listener: Socket) -> str:
    """Have a socket listen in a fresh folder that only this user can enter; return the folder.

    Raises IpcIOError when no temporary folder can be used.
    """
    failure = OSError(errno.ENAMETOOLONG, "none has a short and printable name")
    for base in _bases():
        _remove_leftovers(base)
        name = _prefix() + _random()
        fresh, folder = os.path.join(base, f"new-{name[4:]}"), os.path.join(base, name)
        try:
            os.mkdir(fresh, 0o700)
            try:
                listener.bind(f"{fresh}/{WAITING}")
                listener.listen(0)
                # A folder of this name without a living socket is one that was left.
                os.rename(fresh, folder)
            except BaseException:
                remove(fresh)
                raise
        except OSError as error:
            failure = error
        else:
            return folder
    raise io_error(failure.errno or 0, f"no temporary folder can be used: {failure}") from failure


def remove(folder: str) -> None:
    """Remove a server's folder, as far as it is still there."""
    for name in (WAITING, TAKEN):
        try:
            os.unlink(f"{folder}/{name}")
        except OSError:
            pass  # the other name is the one
    try:
        os.rmdir(folder)
    except OSError:
        pass  # somebody else cleans temporary folders


def _bases() -> Iterator[str]:
    import tempfile  # slow to import, and a child that connects does without

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
    """How the folders of this kernel begin. Over a network others may see the same folder."""
    try:
        with open(_BOOT_ID, encoding="ascii") as boot_id:
            return f"ipc-{boot_id.read(8)}-"
    except OSError:
        return "ipc-"


@functools.cache  # once in a process: the folder may be long
def _remove_leftovers(base: str) -> None:
    """Remove what killed servers of this user left in a temporary folder."""
    if _prefix() == "ipc-":
        return
    try:
        with os.scandir(base) as entries:
            folders = [entry for entry in entries if entry.name.startswith(_prefix())]
    except OSError:
        return
    for folder in folders:
        try:
            if folder.stat(follow_symlinks=False).st_uid == os.geteuid() and not (
                # In this order: a client renames the one to the other.
                _is_bound(f"{folder.path}/{WAITING}") or _is_bound(f"{folder.path}/{TAKEN}")
            ):
                remove(folder.path)
        except OSError:
            pass  # it has just been removed, or is not for us to enter


def _is_bound(path: str) -> bool:
    """Whether a socket lives at a path. One of another type finds out without connecting."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            pass  # EPROTOTYPE
        return True
