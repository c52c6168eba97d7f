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
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

from ipc_backend_macos import gate, kernel, lingering, locking, notifications, remote_port
from ipc_backend_macos.listener import _Offer
from ipc_backend_macos.mach import LibSystem
from ipc_backend_macos.memory import Entry
from ipc_backend_macos.receiver import MacosReceiver
from ipc_backend_macos.receiver_set import MacosReceiverSet

from ipc_core.spi import Backend, concurrency, hookimpl

TESTS = Path(__file__).resolve().parent.parent
VARIABLE = "IPC_CORE_FAKE_MACH"
LIBRARY = "IPC_CORE_FAKE_MACH_LIBRARY"
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
    folder = os.environ.setdefault(LIBRARY, tempfile.gettempdir())  # the kit sets another one
    library = Path(folder) / f"fake-libsystem-{os.getuid()}-{digest}.so"
    if not library.exists():
        fresh = library.with_suffix(f".{os.getpid()}")
        compiler = os.environ.get("CC", "cc")
        options = ("-O2", "-shared", "-fPIC", "-pthread")
        subprocess.run([compiler, *options, "-o", fresh, source], check=True)
        fresh.replace(library)
    return library


def _start_broker() -> str:
    """Start the broker. It ends, and removes its socket, when this process ends."""
    path = f"{tempfile.mkdtemp(prefix='fake-mach-')}/broker"
    ours, _kept_open = os.pipe()
    broker = subprocess.Popen(
        [sys.executable, str(TESTS / "fake_mach.py"), path],
        stdin=ours, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    os.close(ours)
    assert broker.stdout is not None
    with broker.stdout as said:
        assert said.readline() == b"ready\n"
    broker.returncode = 0  # no thread waits for it
    return path


def report() -> dict[str, Any]:
    """Return the names and regions of this process in the fake kernel, and the violations of all
    processes since the last report."""
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


def unaccounted(wanted: str = "", patience: float = 2) -> str:
    """Describe how the rights and regions of this process in the fake kernel differ from those that
    the backend's objects own; empty if they agree. Wait for the description `wanted` for at most
    `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        with locking.LOCK:
            real = report()
            expected = _owned()
        actual = {
            int(name, 16): (bool(receive), bool(is_set), send + dead, once)
            for name, (receive, send, once, dead, is_set) in real["names"].items()
        }
        problems = [
            f"{name:#x}: the kernel has {actual.get(name)}, we have {expected.get(name)}"
            for name in sorted({*actual, *expected})
            if actual.get(name) != expected.get(name)
        ]
        if real["regions"] != _mapped():
            problems.append(f"the kernel has {real['regions']} regions, we have {_mapped()}")
        if "; ".join(problems) == wanted or time.monotonic() > deadline:
            return "; ".join(problems)
        time.sleep(0.01)


def _owned() -> dict[int, tuple[bool, bool, int, int]]:
    """The receive right, set, send rights and send-once rights of each name, by our objects."""
    parts: Any = concurrency._parts
    receives, sets, sends = {notifications._port.name}, set(), Counter[int]()
    for thing in list(parts):  # all that has to be mended after a fork
        kind = type(thing)
        if kind is MacosReceiver:
            receives.add(thing._name)
        elif kind is MacosReceiverSet:
            receives |= {thing._alarm, *thing._members.values()}
            sets.add(thing._set)
        elif kind is Entry or kind is _Offer:
            sends[thing.name if kind is Entry else thing._port] += 1
    for name in remote_port.remote_ports:
        sends[name] += 1
    for name, own in gate.own_gates.items():
        sends[name] += 1
        if own.shut:
            receives.add(name)
    for name, waiting in gate.closed_gates.items():
        sends[name] += len(waiting)
    names = {*receives, *sets, *+sends} - {0}
    return {name: (name in receives, name in sets, sends[name], 0) for name in names}


def _mapped() -> int:
    registry: Any = weakref.finalize._registry  # type: ignore[attr-defined]
    return sum(info.func is kernel.release_memory for info in registry.values())


def _check_exit() -> None:
    """Report a violation if a child that ends normally has lost track of a right."""
    gc.collect()
    if not lingering.held_messages() and (problems := unaccounted()):
        _ask(VIOLATION, 1, f"at exit of {sys.argv[1:]}: {problems}".encode())
