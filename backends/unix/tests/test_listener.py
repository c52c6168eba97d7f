"""Strangers, impostors and deaths at a one-shot server."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import socket
import stat
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ipc_backend_unix import listener, wire
from ipc_backend_unix.backend import MAKERS
from ipc_backend_unix.descriptors import Socket, send_packet
from ipc_backend_unix.listener import UnixOneShotServer, connect
from ipc_backend_unix.wire import PLAIN

from ipc_core import (
    BrokenChannelError,
    DecodeError,
    Disconnected,
    Empty,
    IpcIOError,
    IpcReceiver,
)
from ipc_core.messages.format import DEFAULT
from ipc_core.messages.message import decode_message
from ipc_core.plugins import choice
from ipc_core.testing.level import descriptors
from ipc_core.testing.timing import Soon

STRANGER = 61_234
"""A user id that nobody has."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def fork(action: Callable[[], object], uid: int | None = None) -> int:
    """Run `action` in a fork of this process, as another user; return its pid."""
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; this child uses none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if uid is not None:
            os.setresuid(uid, uid, uid)
        action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a fork; return its status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that every user can use."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(public: Path) -> Iterator[UnixOneShotServer]:
    server = UnixOneShotServer(MAKERS)
    yield server
    server.close()


def raw_client(name: str, packet: bytes) -> Socket:
    """Connect like `connect`, without its checks, and send a packet."""
    client = Socket()
    os.rename(f"{name}/waiting", f"{name}/taken")
    client.connect(f"{name}/taken")
    client.send(packet)
    return client


def listen(name: str, mode: int = 0o777) -> Socket:
    """Be a server of that name."""
    os.mkdir(name)
    listener = Socket()
    listener.bind(f"{name}/waiting")
    os.chmod(name, mode)
    os.chmod(f"{name}/waiting", mode)
    listener.listen(0)
    return listener


class Bomb:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._path,)


@as_root
@pytest.mark.parametrize("uid", [STRANGER, 0], ids=["stranger", "myself"])
def test_a_client_of_another_user_is_refused_unread(
    server: UnixOneShotServer, public: Path, uid: int
) -> None:
    """I15: even where a folder is open to all, the user stated by the kernel decides; the same
    client of the same user is heard, so it is the check that refuses."""
    os.chmod(server.name, 0o777)
    os.chmod(f"{server.name}/waiting", 0o777)
    bomb = PLAIN + pickle.dumps(Bomb(public / "exploded"))

    def visit() -> None:
        try:
            client = raw_client(server.name, bomb)
            client.settimeout(20)
            assert client.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the bomb was sent, or with it unread

    child = fork(visit, uid)
    if uid == STRANGER:
        with pytest.raises(Empty):
            server.accept(1)
        assert ended(child) == 0
        assert not (public / "exploded").exists()
        return
    receiver, data, attachments = server.accept(20)
    decode_message(DEFAULT, choice.backend("unix"), data, attachments)
    receiver.close()
    assert ended(child) == 0
    assert (public / "exploded").exists()


@as_root
@pytest.mark.parametrize("by", ["name", "symlink"])
def test_a_server_of_another_user_is_not_spoken_to(public: Path, by: str) -> None:
    """W24: a stranger who took over the name of a dead server hears nothing."""
    server = UnixOneShotServer(MAKERS)
    name = server.name
    server.close()
    ready = os.eventfd(0)

    def impostor() -> None:
        if by == "symlink":
            listener = listen(f"{public}/elsewhere")
            os.symlink(f"{public}/elsewhere", name)
        else:
            listener = listen(name)
        os.eventfd_write(ready, 1)
        listener.settimeout(20)
        client = listener.accept()
        client.settimeout(20)
        assert client.recv(100) == b""

    child = fork(impostor, STRANGER)
    os.eventfd_read(ready)
    os.close(ready)
    before = descriptors()
    with pytest.raises(IpcIOError, match="another user") as raised:
        connect(name).send(b"secret")
    assert raised.value.errno == errno.EACCES
    assert descriptors() == before
    assert ended(child) == 0


def test_a_listener_with_a_full_queue_is_no_server(public: Path) -> None:
    """I1: connecting never waits for a stranger who listens there."""
    name = f"{public}/busy"
    listener = listen(name)
    with closing(Socket()) as first:
        first.connect(f"{name}/waiting")
        with Soon(1), pytest.raises(IpcIOError, match="no server waits"):
            connect(name)
    listener.close()


@pytest.mark.parametrize("by", ["TMPDIR", "name"])
def test_symlinks_lead_to_the_server(
    public: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """I13: a symlink as temporary folder or as name is followed; the user there is checked."""
    (public / "real").mkdir()
    (public / "link").symlink_to(public / "real")
    monkeypatch.setattr(tempfile, "tempdir", str(public / ("link" if by == "TMPDIR" else "real")))
    server = UnixOneShotServer(MAKERS)
    assert len(list((public / "real").iterdir())) == 1
    tx = connect(str(public / "link" / os.path.basename(server.name)))
    tx.send(b"hello")
    receiver, data, _ = server.accept(20)
    assert data == b"hello"
    tx.close()
    receiver.close()
    assert list((public / "real").iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "full folder", "file", "socket", "symlink", "dangling"])
@pytest.mark.parametrize("prefix", ["new", "ipc"])
def test_what_stands_at_the_name_is_not_used(
    public: Path, monkeypatch: pytest.MonkeyPatch, what: str, prefix: str
) -> None:
    """I4: should somebody guess a name and stand there first, the server is not found there."""
    monkeypatch.setattr(os, "urandom", lambda size: b"\1" * size)
    sample = UnixOneShotServer(MAKERS)
    sample.close()
    name = os.path.basename(sample.name)
    squatted = public / (name if prefix == "ipc" else f"new-{name.rpartition('-')[2]}")
    target = public / "target"
    target.mkdir()
    if "folder" in what:
        squatted.mkdir(0o777)
    if what == "full folder":
        (squatted / "theirs").touch()
    if what == "file":
        squatted.touch()
    if what == "socket":
        Socket().bind(str(squatted))
    if what in ("symlink", "dangling"):
        squatted.symlink_to(target if what == "symlink" else public / "nowhere")
    before = descriptors()
    try:
        server = UnixOneShotServer(MAKERS)
    except IpcIOError:
        pass
    else:
        assert stat.S_IMODE(os.lstat(server.name).st_mode) == 0o700
        assert os.lstat(server.name).st_uid == os.geteuid()
        server.close()
    assert list(target.iterdir()) == []
    assert descriptors() == before
    left = [path.name for path in public.iterdir() if path != squatted]
    assert left == ["target"]


def test_client_killed_between_claim_and_connect(
    server: UnixOneShotServer, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W28: it costs accept its timeout, and later clients are refused; nothing is left."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(Socket, "connect", die)
        assert ended(fork(lambda: connect(server.name))) == -signal.SIGKILL
    assert os.listdir(server.name) == ["taken"]
    with pytest.raises(Empty):
        server.accept(0.1)
    with Soon(1), pytest.raises(IpcIOError, match="no server waits"):
        connect(server.name)
    server.close()
    assert list(public.iterdir()) == []


@pytest.mark.parametrize("instant", ["connected", "announced", "torn"])
def test_client_killed_in_the_handshake(
    server: UnixOneShotServer, monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    """W28: killed with nothing sent, with half of a large message in memory, or with a log
    announced and half a record in it, a client is Disconnected at once."""

    def visit() -> None:
        tx = connect(server.name)
        if instant == "announced":
            monkeypatch.setattr(listener.ChannelWriter, "_in_memory", die)
            tx.send(bytes(1 << 20))
        if instant == "torn":
            memory = os.memfd_create("ipc", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.write(memory, b"\xff\0\0\0\0\0\0\0half")
            send_packet(tx._writer.sock, [wire.pack(wire.SWITCH, [])], [memory])  # type: ignore[union-attr]
        die()

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(fork(visit)) == -signal.SIGKILL
    with Soon(1), pytest.raises((Disconnected, DecodeError)):
        server.accept(20)


def test_accept_out_of_descriptors_can_be_repeated(server: UnixOneShotServer, public: Path) -> None:
    """W24: EMFILE in accept is an IpcIOError and costs nothing."""
    import resource

    tx = connect(server.name)
    tx.send(b"first")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    fillers: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 8, hard))
    try:
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError:
            pass
        with pytest.raises(IpcIOError) as raised:
            server.accept(1)
        assert raised.value.errno == errno.EMFILE
        for action in (lambda: UnixOneShotServer(MAKERS), lambda: connect(server.name)):
            with pytest.raises(IpcIOError) as raised:
                action()
            assert raised.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
    assert len(list(public.iterdir())) == 1
    assert descriptors() == before
    receiver, data, _ = server.accept(20)
    assert data == b"first"
    tx.close()
    receiver.close()


def test_accepted_ends_are_like_others(server: UnixOneShotServer) -> None:
    """W22: descriptors that accept opens are close-on-exec, and block where they should."""
    tx = connect(server.name)
    tx.send(PLAIN)
    receiver, _, _ = server.accept(20)
    for sock in (tx._writer.sock, receiver.socket):  # type: ignore[union-attr]
        assert not os.get_inheritable(sock.fileno())
        assert os.get_blocking(sock.fileno())
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_SEQPACKET
    with IpcReceiver[object](receiver, choice.backend("unix")):
        tx.close()


def test_a_client_learns_of_a_close_while_a_forked_child_lives(server: UnixOneShotServer) -> None:
    """The child has no share in the server, which stays with the parent."""
    tx = connect(server.name)
    reading, writing = os.pipe()

    def live_on() -> None:
        os.close(writing)
        os.read(reading, 1)

    child = fork(live_on)
    os.close(reading)
    try:
        server.close()
        assert tx.wait_closed(20)
        with pytest.raises(BrokenChannelError):
            tx.send(b"")
    finally:
        os.close(writing)
        assert ended(child) == 0
        tx.close()
