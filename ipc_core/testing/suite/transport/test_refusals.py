"""Errors raised when the system refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from ipc_core.spi import Backend, Capability, Empty, IpcIOError
from ipc_core.testing.bag import Bag
from ipc_core.testing.payloads import MIB, pattern
from ipc_core.testing.refusals import no_more_descriptors

Refuse = Callable[[], AbstractContextManager[object]]


def operations(bag: Bag, backend: Backend) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Calls that may need something of the system, on ends of their own. Each can be repeated;
    one that returns something to close returns it."""
    yield "channel", lambda: bag.os_channel(backend)
    yield "receiver_set", lambda: bag.keep(backend.receiver_set())
    yield "one_shot_server", lambda: bag.keep(backend.one_shot_server())
    if Capability.SHARED_MEMORY in backend.capabilities:
        yield "shared_memory", lambda: bag.keep(backend.shared_memory(pattern(MIB)))
        region = bag.keep(backend.shared_memory(MIB))
        yield "clone of a region", lambda: bag.keep(region.clone())

    tx, _ = bag.os_channel(backend)
    yield "clone", lambda: bag.keep(tx.clone())
    yield "send", lambda: tx.send(b"small")
    yield "send of much", lambda: tx.send(pattern(MIB))
    sub_tx, _ = bag.os_channel(backend)
    yield "send of a sender", lambda: tx.send(b"", [sub_tx])
    yield "wait_closed", lambda: tx.wait_closed(0)

    moved_tx, moved_rx = bag.os_channel(backend)
    moved_tx.send(b"inside")
    yield "send of a receiver", once(lambda: tx.send(b"", [moved_rx]))

    in_tx, in_rx = bag.os_channel(backend)
    in_tx.send(b"", [sub_tx])
    in_tx.send(pattern(MIB))

    def receive() -> None:
        try:
            bag.os_recv(in_rx, 1)
        except Empty:
            pass  # a message that could not be received may be lost

    yield "recv", receive

    members = bag.keep(backend.receiver_set())
    member_tx, member_rx = bag.os_channel(backend)
    yield "add", once(lambda: members.add(member_rx, 1))
    member_tx.send(b"", [sub_tx])

    def select() -> None:
        for _, data, attachments in members.select(1):
            for attachment in attachments:
                bag.keep(attachment)
            if isinstance(data, Exception):
                raise data

    yield "select", select

    server = bag.keep(backend.one_shot_server())
    clients: list[Any] = []
    yield "connect", once(lambda: clients.append(bag.keep(backend.connect(server.name))))
    for client in clients:
        client.send(b"", [sub_tx])
        yield "accept", once(lambda: bag.keep(server.accept(1)[0]))


def raised_by(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def once(operation: Callable[[], Any]) -> Callable[[], Any]:
    """An operation that does nothing after its first success."""
    done: list[bool] = []

    def call() -> Any:
        if not done:
            result = operation()
            done.append(True)
            return result
        return None

    return call


class TestTransportRefusals:
    def test_transport_refusals_are_the_librarys_errors(
        self, bag: Bag, backend: Backend, refused: Refuse
    ) -> None:
        """B21: a refusal of the system comes out as IpcIOError, with an errno and its cause; it
        leaves nothing behind, and the same call works afterwards."""
        injected = refused is not no_more_descriptors
        errors = {}
        for name, call in operations(bag, backend):
            with refused():
                error = raised_by(call)
            if error:
                errors[name] = error
            call()
        for name, error in errors.items():
            assert isinstance(error, IpcIOError), f"{name}: {error!r} escapes, and no IpcIOError"
            assert error.errno, f"{name}: an IpcIOError has an errno"
            assert error.__cause__ or not injected, f"{name}: it has what was refused as its cause"
        assert errors or not injected, "inside refuse() nothing was refused"
        tx, rx = bag.os_channel(backend)
        tx.send(b"afterwards")
        assert bag.os_recv(rx)[0] == b"afterwards"
