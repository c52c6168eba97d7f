"""The limits of this machine, for `ipc-core doctor`."""

from __future__ import annotations

import os
import resource
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ipc_backend_unix.descriptors import freeze_size, new_memory
from ipc_backend_unix.server_folder import LONGEST_FOLDER
from ipc_core.spi import Finding, IpcError

ENOUGH_FILES = 1024
ENOUGH_SOCKET_BUFFER = 212992
"""Linux's default of net.core.wmem_max; an overflow needs twice that (the kernel doubles)."""
ENOUGH_MEMORY = 512 << 20


def checkup() -> Iterator[Finding]:
    """See Backend.checkup."""
    yield _open_files()
    yield _in_flight()
    yield _socket_buffer()
    yield _memory_files()
    yield _file_size()
    yield _temporary_folder()
    yield _control_group()


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) - 1
    hint = None
    if _below(soft, ENOUGH_FILES):
        hint = f"each endpoint costs a descriptor; try: ulimit -n {_shown(hard)}"
    return "open files", f"{used} of {_shown(soft)} (could be {_shown(hard)})", hint


def _in_flight() -> Finding:
    """Descriptors in unread messages count against RLIMIT_NOFILE, over all processes (unix(7))."""
    if os.geteuid() == 0:
        return "descriptors in unread messages", "no limit for root", None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    hint = None
    if _below(soft, ENOUGH_FILES):
        hint = "sends of endpoints will fail with ETOOMANYREFS; raise ulimit -n"
    return "descriptors in unread messages", f"{_shown(soft)} for all processes of this user", hint


def _socket_buffer() -> Finding:
    text = _read("/proc/sys/net/core/wmem_max")
    if not text.isdigit():
        return "socket send buffer", "unknown", None
    hint = None
    if int(text) < ENOUGH_SOCKET_BUFFER:
        wanted = f"net.core.wmem_max={ENOUGH_SOCKET_BUFFER}"
        hint = f"few senders can overflow at once; try: sysctl {wanted}"
    return "socket send buffer", f"{text} bytes", hint


def _memory_files() -> Finding:
    try:
        memory = new_memory()
        os.write(memory.fd, b"x")
        freeze_size(memory.fd)
        memory.close()
    except (OSError, IpcError) as error:
        return "memory files", "do not work", f"memfd_create or sealing is forbidden: {error}"
    return "memory files", "work, sealing too", None


def _file_size() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    limited = soft != resource.RLIM_INFINITY
    hint = "it bounds messages, regions and unread queues; try: ulimit -f unlimited"
    return "size of a file", _shown(soft), hint if limited else None


def _temporary_folder() -> Finding:
    folder = tempfile.gettempdir()
    mode = os.stat(folder).st_mode
    value = f"{folder} ({stat.filemode(mode)})"
    hint = None
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        hint = "too long for a socket's address; servers use /tmp instead"
    elif mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        hint = "anybody can replace files there; try: chmod +t"
    return "temporary folder", value, hint


def _control_group() -> Finding:
    """Look at version 2 groups. The smallest limit on the way up counts."""
    path = next(
        (line[3:] for line in _read("/proc/self/cgroup").splitlines() if line[:3] == "0::"), "/"
    )
    folder, root = Path("/sys/fs/cgroup" + path), Path("/sys/fs/cgroup")
    limits = [int(text) for place in (folder, *folder.parents) if place.is_relative_to(root)
              if (text := _read(place / "memory.max")).isdigit()]  # fmt: skip
    if not limits:
        return "memory of the control group", "no limit", None
    hint = None
    if min(limits) < ENOUGH_MEMORY:
        hint = (
            "unread messages count, and the kernel kills when it is full: read, or bound the work"
        )
    return "memory of the control group", f"{min(limits) >> 20} MiB", hint


def _below(limit: int, enough: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < enough


def _shown(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
