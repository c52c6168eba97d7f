"""The folders of servers: temporary folders of every kind, and leftovers of killed servers."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipc_backend_unix import server_folder
from ipc_backend_unix.backend import MAKERS
from ipc_backend_unix.descriptors import Socket
from ipc_backend_unix.listener import UnixOneShotServer, connect

from ipc_core import IpcIOError
from ipc_core.testing.level import descriptors
from ipc_core.testing.states import wait_until

MEET = """
import os, sys, ipc_core
server, name = ipc_core.IpcOneShotServer.new(backend="unix")
assert name.isascii() and name.isprintable() and " " not in name, name
os.chdir("/")
tx = ipc_core.IpcSender.connect(name)
tx.send("hello")
rx, first = server.accept(20)
assert first == "hello"
tx.close()
rx.close()
"""
SERVE = """
import sys, ipc_core
servers = [ipc_core.IpcOneShotServer(backend="unix") for _ in range(3)]
silent = ipc_core.IpcSender.connect(servers[0].name)
print(*(server.name.partition(":")[2] for server in servers), flush=True)
sys.stdin.read()
"""
DIE_BETWEEN = """
import os, signal, ipc_core
os.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
ipc_core.IpcOneShotServer(backend="unix")
"""
INTERRUPTED = """
import os, ipc_core
server = ipc_core.IpcOneShotServer(backend="unix")
rmdir = os.rmdir
def interrupt(path):
    os.rmdir = rmdir
    raise KeyboardInterrupt
os.rmdir = interrupt
try:
    server.close()
except KeyboardInterrupt:
    pass
print(*os.listdir(os.environ["TMPDIR"]))
"""
MAKE_AND_CLOSE = """
import ipc_core
print("begun", flush=True)
while True:
    servers = [ipc_core.IpcOneShotServer(backend="unix") for _ in range(3)]
    client = ipc_core.IpcSender.connect(servers[1].name)
    for server in servers:
        server.close()
"""


def python(code: str, folder: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": folder},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder with a short name, which this process uses too."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "kind", ["plain", "long", "missing", "file", "relative", "symlink", "blank", "newline", "bytes"]
)
def test_a_program_meets_itself_whatever_its_tmpdir_is(place: Path, kind: str) -> None:
    """I13, I14, W25, W26: a TMPDIR that will not do is passed over; the name stays plain text and
    works from another working directory; no file is left."""
    names: dict[str, object] = {
        "long": "x" * (149 - len(str(place))),
        "newline": "a\nb",
        "bytes": os.fsdecode(b"\xff\xfe"),
    }
    folder = place / str(names.get(kind, kind))
    if kind == "file":
        folder.touch()
    elif kind == "symlink":
        (place / "real").mkdir()
        folder.symlink_to(place / "real")
    elif kind not in ("missing", "blank"):
        folder.mkdir()
    tmpdir = {"relative": os.path.relpath(folder), "blank": " "}.get(kind, str(folder))
    program = python(MEET, tmpdir)
    _, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (0, b"")
    assert [path for path in place.rglob("*") if path.name.startswith(("ipc-", "new-"))] == []


def test_folders_that_cannot_be_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I14, W24: where no folder will do, a server is an IpcIOError that says why, again and again,
    and descriptors are level while the errors are kept."""
    for bases, code in (
        ((), errno.ENAMETOOLONG),
        ((str(place / "missing"),), errno.ENOENT),
        ((str(place / "missing"), "/proc"), errno.ENOENT),
        (("/dev/null",), errno.ENOTDIR),
    ):
        monkeypatch.setattr(server_folder, "_bases", lambda bases=bases: iter(bases))
        before = descriptors()
        errors = []
        for _ in range(50):
            with pytest.raises(IpcIOError, match="temporary folder") as raised:
                UnixOneShotServer(MAKERS)
            errors.append(raised.value)
        assert {error.errno for error in errors} == {code}
        assert descriptors() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I14: a read-only TMPDIR is passed over; alone, it is EACCES."""
    place.chmod(0o755)
    monkeypatch.setattr(server_folder, "_bases", lambda: iter([str(place)]))
    os.seteuid(61_234)
    try:
        with pytest.raises(IpcIOError) as raised:
            UnixOneShotServer(MAKERS)
        assert raised.value.errno == errno.EACCES
        monkeypatch.setattr(server_folder, "_bases", lambda: iter([str(place), "/tmp"]))
        server = UnixOneShotServer(MAKERS)
        assert os.lstat(server.name).st_uid == 61_234
        server.close()
    finally:
        os.seteuid(0)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_this_user_can_enter(place: Path, umask: int) -> None:
    """I15: the folder's mode is 0700, and nothing but the socket is in it."""
    before = os.umask(umask)
    try:
        server = UnixOneShotServer(MAKERS)
    finally:
        os.umask(before)
    (folder,) = place.iterdir()
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    (waiting,) = folder.iterdir()
    assert stat.S_ISSOCK(waiting.lstat().st_mode)
    server.close()
    assert list(place.iterdir()) == []


def sweep(folder: Path) -> None:
    """Make a server as the first of its process."""
    server_folder._remove_leftovers.__wrapped__(str(folder))


def test_what_a_killed_server_leaves_is_removed_later(place: Path) -> None:
    """I5: with or without a client, as soon as another process makes a server there; what lives
    stays."""
    killed, alive = python(SERVE, str(place)), python(SERVE, str(place))
    assert killed.stdout
    assert alive.stdout
    dead = set(killed.stdout.readline().decode().split())
    living = set(alive.stdout.readline().decode().split())
    assert {str(path) for path in place.iterdir()} == dead | living
    killed.kill()
    killed.communicate()
    assert {str(path) for path in place.iterdir()} == dead | living
    another = python(MEET, str(place))
    assert another.communicate(timeout=60)[1] == b""
    assert {str(path) for path in place.iterdir()} == living
    alive.communicate(timeout=60)
    assert list(place.iterdir()) == []


def test_a_server_that_was_killed_half_made(place: Path) -> None:
    """I5: its folder is taken for one that is just being made, until it is old."""
    killed = python(DIE_BETWEEN, str(place))
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    sweep(place)
    assert list(place.iterdir()) == [left]
    os.utime(left, (0, 0))
    sweep(place)
    assert list(place.iterdir()) == []


def test_an_interrupted_close_is_finished_at_exit(place: Path) -> None:
    """I5: also when Ctrl-C comes between the socket's removal and the folder's."""
    program = python(INTERRUPTED, str(place))
    left, errors = program.communicate(timeout=60)
    assert errors == b""
    assert left.startswith(b"ipc-")
    assert list(place.iterdir()) == []


def test_what_is_not_ours_stays(place: Path) -> None:
    """I5: only folders of this user and this kernel are removed, with nothing but dead sockets
    in them; a living socket is found out without a connection."""
    own = server_folder._prefix()
    (place / "elsewhere").mkdir()
    kept = ["ipc-core", "ipc-0123abcd-of_another_kernel", f"{own}with_a_file", f"{own}lives"]
    for name in kept:
        (place / name).mkdir()
    (place / kept[2] / "precious").touch()
    (place / f"{own}symlink").symlink_to(place / "elsewhere")
    (place / f"{own}file").touch()
    bound, listening = Socket(), Socket()
    bound.bind(str(place / f"{own}lives" / "taken"))
    listening.bind(str(place / "elsewhere" / "waiting"))
    if os.geteuid() == 0:
        (place / f"{own}theirs").mkdir()
        os.chown(place / f"{own}theirs", 61_234, 61_234)
    before = sorted(place.rglob("*"))
    (place / f"{own}empty").mkdir()
    (place / f"{own}dead").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(place / f"{own}dead" / "waiting"))
    sweep(place)
    assert sorted(place.rglob("*")) == before


def test_removing_does_not_disturb_meetings(place: Path) -> None:
    """I5: while one thread removes leftovers without pause, every server is met."""
    stop = threading.Event()

    def remove_for_ever() -> None:
        while not stop.is_set():
            sweep(place)

    remover = threading.Thread(target=remove_for_ever)
    remover.start()
    try:
        for number in range(500):
            server = UnixOneShotServer(MAKERS)
            tx = connect(server.name)
            tx.send(b"%d" % number)
            receiver, data, _ = server.accept(20)
            assert data == b"%d" % number
            tx.close()
            receiver.close()
    finally:
        stop.set()
        remover.join()
    assert list(place.iterdir()) == []


def test_processes_killed_at_any_instant_leave_nothing_for_long(place: Path) -> None:
    """I5: also in the middle of making or closing servers."""
    for round in range(15):
        program = python(MAKE_AND_CLOSE, str(place))
        assert program.stdout
        assert program.stdout.readline() == b"begun\n"
        wait_until(lambda: any(place.iterdir()), "a server is made")
        for _ in range(round):
            list(place.iterdir())  # an instant later each round
        program.send_signal(signal.SIGKILL)
        program.communicate()
        sweep(place)
        assert [path for path in place.iterdir() if path.name.startswith("ipc-")] == []
