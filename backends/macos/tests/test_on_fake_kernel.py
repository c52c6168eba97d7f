"""The behaviour of this backend alone, on the fake kernel, and the strictness of the fake.

The conformance kit runs on it too: see `macos` in tox.ini. None of this is a run on a Mac.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ipc_backend_macos import kernel, lingering, mach, notifications, wire
from ipc_backend_macos.backend import MacosBackend

from ipc_core.plugins import choice
from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    IpcIOError,
    NotSupportedError,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.payloads import pattern, same
from ipc_core.testing.states import wait_until
from ipc_core.testing.timing import Soon

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the fake kernel needs Linux: memfd, eventfd, SCM_RIGHTS"
)

FOLDER = Path(__file__).parent / "on_fake_kernel"
FULL = mach.MACH_PORT_QLIMIT_LARGE
LARGE = 100_000


@pytest.fixture(scope="module")
def fake() -> Iterator[ModuleType]:
    """The fake kernel; this folder is on the path, for children too, while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        import macos_on_fake_kernel

        macos_on_fake_kernel.set_up()
        notifications.port()
        yield macos_on_fake_kernel


@pytest.fixture
def backend(fake: ModuleType) -> Iterator[Backend]:
    """The backend; every right is accounted for afterwards."""
    assert not fake.report()["violations"]
    before = fake.unaccounted(patience=0)  # interrupted calls of other tests may have lost a right
    yield MacosBackend()
    assert fake.unaccounted(before) == before
    assert not fake.report()["violations"]


@pytest.fixture
def bag(backend: Backend) -> Iterator[Bag]:
    with Bag() as bag:
        yield bag


@pytest.fixture
def children(backend: Backend) -> Iterator[Children]:
    with Children() as children:
        yield children


def meet(bag: Bag, backend: Backend, children: Children, function: Any, *args: str) -> Any:
    """Start a program; return it, the sender to it, and the receiver of its messages."""
    server = bag.keep(backend.one_shot_server())
    name = choice.server_name(backend, "once", server.name)
    child = children.start(function, name, *args)
    receiver, _, (sender,) = server.accept(30)
    return child, bag.keep(sender), bag.keep(receiver)


def program(name: str) -> Any:
    import fake_programs

    return getattr(fake_programs, name)


class TestTheFakeIsStrict:
    @pytest.mark.parametrize(
        "wrong",
        [
            lambda: kernel.release_send(0x5003),
            lambda: kernel.destroy_port(0x5003),
            lambda: kernel.make_send(0x5003),
            lambda: kernel.is_dead(0x5003),
            lambda: kernel.move_member(0x5003, 0),
            lambda: kernel.notify(0x5003, mach.MACH_NOTIFY_NO_SENDERS, 0x5003),
            lambda: kernel.release_memory(0x10000, 4096),
            lambda: kernel.receive(mach.buffer_of(bytes(99)), 0x5003, 0, 0, []),
            lambda: send_raw(wire.nudge(0x5003)),
        ],
    )
    def test_wrong_names(self, fake: ModuleType, wrong: Callable[[], object]) -> None:
        try:
            wrong()
        except IpcIOError:
            pass
        assert fake.report()["violations"]

    def test_double_free(self, fake: ModuleType) -> None:
        name = kernel.new_port()
        kernel.make_send(name)
        kernel.release_send(name)
        with pytest.raises(IpcIOError):
            kernel.release_send(name)
        assert fake.report()["violations"]
        kernel.destroy_port(name)
        address = kernel.allocate_memory(5000)
        kernel.release_memory(address, 5000)
        with pytest.raises(IpcIOError):
            kernel.release_memory(address, 5000)
        assert fake.report()["violations"]

    def test_leaks(self, backend: Backend, fake: ModuleType) -> None:
        before = fake.unaccounted(patience=0)
        name = kernel.new_port()
        problems = fake.unaccounted(patience=0)
        assert f"{name:#x}" in problems
        address = kernel.allocate_memory(10)
        assert fake.unaccounted(patience=0) not in (before, problems)
        kernel.destroy_port(name)
        kernel.release_memory(address, 10)

    def test_rights_of_the_wrong_kind(self, fake: ModuleType) -> None:
        name = kernel.new_port()
        stolen = wire.port_descriptor(name, mach.MACH_MSG_TYPE_COPY_SEND)
        kernel.make_send(name)
        message = wire.compose(name, [(wire.SENDER, 0)], [stolen], length=0)
        kernel.release_send(name)
        assert send_raw(message) != mach.MACH_MSG_SUCCESS
        assert fake.report()["violations"]
        kernel.destroy_port(name)


def send_raw(message: bytes) -> int:
    codes: list[int] = []
    kernel.send(mach.buffer_of(message), len(message), 0, codes)
    return codes[-1]


class TestFullQueues:
    @pytest.mark.parametrize("size", [10, LARGE])
    @pytest.mark.parametrize("before", [FULL - 1, FULL, FULL + 1], ids=["room", "full", "held"])
    def test_attachments_that_the_queue_refuses(
        self, bag: Bag, backend: Backend, before: int, size: int
    ) -> None:
        """The kernel takes the message in, finds no room, and returns it with new names and
        addresses; or it waits here from the start. It arrives whole."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        moved_tx, moved_rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(b"region"))
        for number in range(before):
            tx.send(b"%d" % number)
        tx.send(pattern(size), [sub_tx, moved_rx, region])
        tx.send(b"last")
        tx.close()
        sub_tx.close()
        region.close()
        moved_tx.send(b"moved")
        with pytest.raises(ClosedError):
            moved_rx.recv(0)
        for number in range(before):
            assert rx.recv(0)[0] == b"%d" % number
        data, (sender, receiver, arrived) = bag.os_recv(rx, 0)
        assert same(data, pattern(size))
        sender.send(b"sub")
        assert sub_rx.recv(0)[0] == b"sub"
        assert receiver.recv(0)[0] == b"moved"
        assert arrived.buffer == b"region"
        assert rx.recv(0)[0] == b"last"
        with pytest.raises(Disconnected):
            rx.recv(0)

    def test_held_messages_go_with_their_receiver(self, bag: Bag, backend: Backend) -> None:
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        for _ in range(FULL + 100):
            tx.send(pattern(100), [sub_tx])
        tx.send(pattern(LARGE), [sub_tx])
        sub_tx.close()
        assert lingering.held_messages() == 101
        rx.close()
        assert lingering.held_messages() == 0
        with pytest.raises(Disconnected):
            sub_rx.recv(0)
        with pytest.raises(BrokenChannelError):
            tx.send(b"")

    def test_a_killed_receiver_frees_what_is_held(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        child, to_child, _ = meet(bag, backend, children, program("hold"))
        for _ in range(FULL + 100):
            to_child.send(pattern(100))
        assert lingering.held_messages() == 100
        child.kill()
        assert to_child.wait_closed(30)
        wait_until(lambda: not lingering.held_messages(), "the held messages are given up")

    def test_a_process_that_ends_lingers_while_it_is_read(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        child, to_child, _ = meet(bag, backend, children, program("fill_and_exit"), "4000")
        tx, rx = bag.os_channel(backend)
        to_child.send(b"", [tx])
        tx.close()
        assert [rx.recv(30)[0] for _ in range(4000)] == [b"%d" % n for n in range(4000)]
        with pytest.raises(Disconnected):
            rx.recv(30)
        assert child.wait(30) == 0

    def test_a_process_that_ends_unread_does_not_wait_for_ever(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """The messages that the kernel has survive; the rest is lost, as the README says."""
        child, to_child, _ = meet(bag, backend, children, program("fill_and_exit"), "2000")
        tx, rx = bag.os_channel(backend)
        to_child.send(b"", [tx])
        tx.close()
        assert child.wait(30) == 0
        assert [rx.recv(30)[0] for _ in range(FULL)] == [b"%d" % n for n in range(FULL)]
        with pytest.raises(Disconnected):
            rx.recv(30)


class TestGates:
    def test_a_given_sender_does_not_overtake_what_is_held(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        _, to_child, from_child = meet(bag, backend, children, program("use_given_sender"))
        tx, rx = bag.os_channel(backend)
        for number in range(FULL + 500):
            tx.send(b"%d" % number)
        to_child.send(b"", [tx])
        assert from_child.recv(30)[0] == b"sent"
        tx.send(b"after the gate")
        tx.close()
        for number in range(FULL + 500):
            assert rx.recv(30)[0] == b"%d" % number
        rest = [rx.recv(30)[0] for _ in range(4)]
        assert [data for data in rest if data != b"after the gate"] == [
            b"child 0", b"child 1", b"child 2",
        ]  # fmt: skip
        to_child.send(b"end")
        with pytest.raises(Disconnected):
            rx.recv(30)

    def test_a_dead_process_has_no_gates(
        self, bag: Bag, backend: Backend, children: Children
    ) -> None:
        """Nor does a gate hold up a sender that was here before."""
        child, to_child, from_child = meet(bag, backend, children, program("give_and_die"))
        tx, rx = bag.os_channel(backend)
        to_child.send(b"", [tx])
        tx.close()
        _, (given,) = bag.os_recv(from_child)
        given.send(b"mine")
        assert lingering.held_messages() == 1
        to_child.send(b"die")
        assert child.wait(30) != 0
        assert [rx.recv(30)[0] for _ in range(FULL)] == [b"%d" % n for n in range(FULL)]
        assert rx.recv(30)[0] == b"mine"
        given.close()
        with pytest.raises(Disconnected):
            rx.recv(30)

    def test_gates_of_this_process_are_no_obstacle(self, bag: Bag, backend: Backend) -> None:
        tx, rx = bag.os_channel(backend)
        outer_tx, outer_rx = bag.os_channel(backend)
        for _ in range(FULL + 10):
            tx.send(b"held")
        outer_tx.send(b"", [tx, tx])
        tx.close()
        _, (one, other) = bag.os_recv(outer_rx)
        one.send(b"1")
        other.send(b"2")
        one.close()
        other.close()
        assert [rx.recv(0)[0] for _ in range(FULL + 12)] == [b"held"] * (FULL + 10) + [b"1", b"2"]
        with pytest.raises(Disconnected):
            rx.recv(0)


def test_a_program_may_end_as_it_is(backend: Backend) -> None:
    """Open ends, unread and held messages, a router, a thread that waits: none causes output."""
    text = (
        "import threading, ipc_core as ipc\n"
        "ipc.set_default_backend('macos')\n"
        "tx, rx = ipc.channel()\n"
        "for number in range(1500): tx.send([number, tx])\n"
        "region = ipc.IpcSharedMemory.from_bytes(b'region')\n"
        "view = region.buffer\n"
        "server, name = ipc.IpcOneShotServer.new()\n"
        "other_tx, other_rx = ipc.channel()\n"
        "ipc.ROUTER.add_route(other_rx, print)\n"
        "waiting = threading.Thread(target=server.accept, daemon=True)\n"
        "waiting.start()\n"
    )
    with Soon(20):
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", text],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "forgery",
    ["send rights", "receive right", "array", "memory", "reply port", "false notification"],
)
def test_forged_messages(bag: Bag, backend: Backend, children: Children, forgery: str) -> None:
    """A malformed message is one DecodeError; all that it carried is given back."""
    child, to_child, from_child = meet(bag, backend, children, program("forge"), forgery)
    with pytest.raises(DecodeError):
        from_child.recv(30)
    assert from_child.recv(30)[0] == b"proper"
    to_child.send(b"end")
    with pytest.raises(Disconnected):
        from_child.recv(30)
    assert child.wait(30) == 0


def test_another_users_greeting_is_refused(
    bag: Bag, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = bag.keep(backend.one_shot_server())
    with monkeypatch.context() as patch:
        patch.setattr(notifications, "os", type("", (), {"geteuid": staticmethod(lambda: -1)}))
        with Soon(), pytest.raises(IpcIOError):
            backend.connect(server.name)
    client = bag.keep(backend.connect(server.name))
    client.send(b"the same user")
    receiver, data, _ = server.accept(30)
    assert data == b"the same user"
    client.close()
    with pytest.raises(Disconnected):  # an accepted receiver learns the end too
        bag.keep(receiver).recv(30)


def test_a_forked_child_has_nothing(bag: Bag, backend: Backend, children: Children) -> None:
    """Its copies raise, do nothing to the parent's rights, and new channels work."""
    tx, rx = bag.os_channel(backend)
    region = bag.keep(backend.shared_memory(b"region"))
    members = bag.keep(backend.receiver_set())
    members.add(bag.os_channel(backend)[1], 1)
    server = bag.keep(backend.one_shot_server())
    tx.send(b"for the parent")

    def work() -> None:
        for use in (
            lambda: tx.send(b""), tx.clone, lambda: tx.wait_closed(0), lambda: rx.recv(0),
            lambda: members.select(0), lambda: server.accept(0),
        ):  # fmt: skip
            with pytest.raises(ClosedError):
                use()
        inner_tx, inner_rx = backend.channel()
        with pytest.raises(ClosedError):
            inner_tx.send(b"", [region])
        inner_tx.send(b"own")
        assert inner_rx.recv(0)[0] == b"own"
        assert bytes(region.buffer) == b"region"
        for end in (tx, rx, region, members, server, inner_tx, inner_rx):
            end.close()

    child = children.fork(work)
    child.join(30)
    assert child.exitcode == 0
    assert rx.recv(0)[0] == b"for the parent"
    with pytest.raises(Empty):
        rx.recv(0)
    bag.keep(backend.connect(server.name)).send(b"still there")
    assert server.accept(30)[1] == b"still there"


def test_first_use_warns_once(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = kernel._bindings
    monkeypatch.setattr(kernel, "_bindings", None)
    monkeypatch.setattr(mach, "LibSystem", lambda: bindings)
    with pytest.warns(kernel.ExperimentalWarning, match="never on a Mac"):
        first = MacosBackend().channel()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = MacosBackend().channel()
    for end in (*first, *second):
        end.close()


def test_without_libsystem_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel, "_bindings", None)
    monkeypatch.setattr(
        mach, "LibSystem", lambda: ctypes.CDLL(os.fspath(tmp_path / "libSystem.B.dylib"))
    )
    assert not kernel.in_use()
    if sys.platform != "darwin":
        reason = MacosBackend().unavailable_reason()
        assert reason
        assert "macOS" in reason
    with pytest.raises(IpcIOError, match="libSystem"):
        MacosBackend().channel()


def test_what_it_does_not_do(backend: Backend) -> None:
    with pytest.raises(NotSupportedError, match="bounded"):
        backend.channel(10)
    [(_, value, hint)] = backend.checkup()
    assert "experimental" in value
    assert hint
