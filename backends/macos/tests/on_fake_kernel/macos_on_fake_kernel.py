"""The macos backend over the fake kernel, found under its own name where this folder comes first
on the path: in the tests that set PYTHONPATH so, and in the children they start.

The first process starts a broker; its children find that by a variable in their environment.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ipc_core.spi import Backend, hookimpl

from ipc_backend_macos import kernel
from ipc_backend_macos.mach import LibSystem

TESTS = Path(__file__).resolve().parent.parent
VARIABLE = "IPC_CORE_FAKE_MACH"
REPORT, VIOLATION = 10, 9

_library: Any = None


@hookimpl
def ipc_core_backend() -> Backend:
    from ipc_backend_macos.backend import MacosBackend

    set_up()
    return MacosBackend()


def set_up() -> None:
    """Have the backend use the fake kernel from now on."""
    global _library
    if _library is not None:
        return
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = _start_broker()
    else:
        atexit.register(_check_exit)
    path = str(_built())
    _library = ctypes.CDLL(path)
    _library.fake_task.restype = ctypes.c_uint64
    _library.fake_connect(os.environ[VARIABLE].encode())
    kernel.use(LibSystem(path))


def _built() -> Path:
    """The library, compiled once for each version of its source."""
    source = TESTS / "fake_libsystem.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"fake-libsystem-{os.getuid()}-{digest}.so"
    if not library.exists():
        fresh = library.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-pthread", "-o", fresh, source],
            check=True,
        )
        fresh.replace(library)
    return library


def _start_broker() -> str:
    folder = tempfile.mkdtemp(prefix="fake-mach-")
    path = f"{folder}/broker"
    broker = subprocess.Popen(
        [sys.executable, str(TESTS / "fake_mach.py"), path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert broker.stdout is not None
    assert broker.stdout.readline() == b"ready\n"

    def stop() -> None:
        broker.communicate()
        os.unlink(path)
        os.rmdir(folder)

    atexit.register(stop)
    return path


def report() -> dict[str, Any]:
    """What this process has in the fake kernel, and the violations of all processes so far."""
    return _ask(REPORT, _library.fake_task()) | {"regions": _library.fake_regions()}


def _ask(op: int, argument: int, payload: bytes = b"") -> dict[str, Any]:
    signed = argument - (1 << 64) if argument >= 1 << 63 else argument
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(os.environ[VARIABLE])
        connection.send(struct.pack("<II6q", 1, 0, 1, 0, 0, 0, 0, 0))
        connection.recv(100)
        connection.send(struct.pack("<II6q", op, len(payload), signed, 0, 0, 0, 0, 0) + payload)
        answer = connection.recv(1 << 18)
    found: dict[str, Any] = json.loads(answer[40:] or b"{}")
    return found


def _check_exit() -> None:
    """A child that ends normally has closed what it had; only the attendant's port may be left."""
    gc.collect()
    left = report()
    names = {name: rights for name, rights in left["names"].items() if rights[:3] != [True, 0, 0]}
    if names or len(left["names"]) > 1 or left["regions"]:
        text = f"left at exit: {left['names']}, {left['regions']} regions; {sys.argv[1:]}"
        _ask(VIOLATION, 1, text.encode())
