"""Descriptors, files and threads that a test leaves behind, by name."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ipc_core.testing.level import descriptors
from ipc_core.testing.states import wait_until

PATIENCE = 5.0
"""Seconds within which things that end by themselves, such as a connection's thread, are gone."""

SHARED_PLACES = ("/dev/shm", ".", os.environ.get("XDG_RUNTIME_DIR") or ".")
"""Folders beside the temporary one in which a backend might forget a file."""

_TEMPORARY = ("TMPDIR", "TEMP", "TMP")

_private: list[Path] = []
_usual: dict[str, str | None] = {}
"""The variables as they were, and under "" the folder that `tempfile` had chosen."""


@contextmanager
def private_temporary_folder() -> Iterator[None]:
    """Make this process, and children, use a temporary folder that nobody else puts files into."""
    if not _private:
        _usual.update({name: os.environ.get(name) for name in _TEMPORARY}, **{"": tempfile.tempdir})
        with suppress(OSError):  # a system without any such folder
            _private.append(Path(tempfile.mkdtemp(prefix="ipc-kit-")))
    if not _private:
        yield
        return
    tempfile.tempdir = str(_private[0])
    os.environ.update(dict.fromkeys(_TEMPORARY, tempfile.tempdir))
    try:
        yield
    finally:
        _use_the_usual_folder()


def _use_the_usual_folder() -> None:
    tempfile.tempdir = _usual[""]
    for name in _TEMPORARY:
        value = _usual[name]
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def remove_private_folder() -> None:
    """Remove the folder with all that is in it."""
    while _private:
        _use_the_usual_folder()  # a test may have set it again after it was restored
        shutil.rmtree(_private.pop(), ignore_errors=True)


class Leftovers:
    """The descriptors, threads and files of now; `check` reports those that a test has added."""

    def __init__(self) -> None:
        self._began = time.time()
        self._threads = set(threading.enumerate())
        self._files = files()
        self._open = _open_descriptors()
        self._count = descriptors()

    def check(self) -> None:
        """Wait until everything is as before. Raises AssertionError, with the names, if it does
        not come to that."""
        if not self._problems():
            return
        gc.collect()  # which takes long among all the tests
        with suppress(TimeoutError):
            wait_until(lambda: not self._problems(), "everything is as before", PATIENCE)
        if problems := self._problems():
            raise AssertionError("\n".join(problems))

    def open_to_others(self) -> list[str] | None:
        """Return those of the new files, and of all in the private folder, that another user may
        enter or read; None if there are no such files at all."""
        tops = {str(path) for folder in _private for path in folder.iterdir()}
        tops |= {
            path
            for path in files() - self._files
            if os.path.dirname(path) in SHARED_PLACES and _is_ours(path, self._began)
        }
        return [path for path in sorted(tops) if os.lstat(path).st_mode & 0o077] if tops else None

    def _problems(self) -> list[str]:
        return [*self._open_problems(), *self._thread_problems(), *self._file_problems()]

    def _open_problems(self) -> Iterator[str]:
        now = descriptors()
        # A thread on Windows has handles of its own, which the system closes later.
        if now > self._count or (now < self._count and sys.platform != "win32"):
            found = _open_descriptors()
            new = [f"{fd} ({what})" for fd, what in found.items() if self._open.get(fd) != what]
            gone = [f"{fd} ({what})" for fd, what in self._open.items() if found.get(fd) != what]
            if new or now > self._count:
                yield f"the test leaked descriptors, {now - self._count:+}: {_listed(new)}"
            if gone or now < self._count:
                yield f"the test closed a stranger's descriptors: {_listed(gone)}"

    def _thread_problems(self) -> Iterator[str]:
        new = [thread for thread in threading.enumerate() if thread not in self._threads]
        if new:
            yield f"the test left {len(new)} threads running: {_listed(map(_describe, new))}"

    def _file_problems(self) -> Iterator[str]:
        new = [path for path in files() - self._files if _is_ours(path, self._began)]
        if new:
            yield f"the test left {len(new)} files: {_listed(sorted(new))}"


def files() -> set[str]:
    """The files and folders in the places where a backend puts some."""
    found = {str(path) for folder in _private for path in folder.rglob("*")}
    for place in SHARED_PLACES:
        with suppress(OSError):
            found.update(
                os.path.join(place, name)
                for name in os.listdir(place)
                if not name.startswith((".", "__pycache__"))
            )
    return found


def _is_ours(path: str, began: float) -> bool:
    """Whether this process, or a child, may have made the file since then: not if it belongs to
    somebody else, or another program uses it."""
    if any(Path(path).is_relative_to(folder) for folder in _private):
        return True
    try:
        stat = os.lstat(path)
    except OSError:
        return False
    mine = not hasattr(os, "getuid") or stat.st_uid == os.getuid()
    return mine and stat.st_ctime >= began - 1 and not _used_elsewhere(path)


def _used_elsewhere(path: str) -> bool:
    path = os.path.abspath(path)
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):
            if path in (process / "maps").read_text(errors="replace"):
                return True
            if any(os.readlink(fd) == path for fd in (process / "fd").iterdir()):
                return True
    return False


def _open_descriptors() -> dict[int, str]:
    """The number of each open descriptor, and where it leads, as far as the system tells."""
    found = {}
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # that of the listing is closed again
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _describe(thread: threading.Thread) -> str:
    target = getattr(getattr(thread, "_target", None), "__qualname__", None)
    return f"{thread.name} ({target})" if target else thread.name


def _listed(things: object, limit: int = 20) -> str:
    names = [str(thing) for thing in things]  # type: ignore[attr-defined]
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "") or "unknown ones"
