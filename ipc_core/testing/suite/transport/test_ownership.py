"""The owner of an attachment: before a send, after it, and after one that failed."""

from __future__ import annotations

from typing import Any

import pytest

from ipc_core.spi import (
    Backend,
    BrokenChannelError,
    Capability,
    ClosedError,
    Disconnected,
    Empty,
    ForeignHandleError,
    IpcError,
    Kind,
)
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires
from ipc_core.testing.payloads import PACKET, pattern, same


class Stranger:
    """A handle that no backend made."""

    kind = Kind.SENDER

    def close(self) -> None:
        pass


class TestTransportOwnership:
    @requires(Capability.SHARED_MEMORY)
    def test_transport_senders_and_regions_are_copied(self, bag: Bag, backend: Backend) -> None:
        """B40, B86: a sender and a region that were sent can still be used and sent again."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        region = bag.keep(backend.shared_memory(b"shared"))
        tx.send(b"1", [sub_tx, region])
        tx.send(b"2", [sub_tx, region])
        sub_tx.send(b"still")
        assert bag.os_recv(sub_rx)[0] == b"still"
        assert same(region.buffer, b"shared")
        sub_tx.close()
        region.close()
        for _ in range(2):
            _, (sender, arrived) = bag.os_recv(rx)
            sender.send(b"copy")
            assert bag.os_recv(sub_rx)[0] == b"copy"
            assert arrived.buffer == b"shared"

    def test_transport_receivers_are_taken_over(self, bag: Bag, backend: Backend) -> None:
        """B41: the handle of a receiver that was sent is closed."""
        tx, rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        tx.send(b"", [sub_rx])
        for timeout in (0, None):
            with pytest.raises(ClosedError):
                sub_rx.recv(timeout)
        with pytest.raises(ClosedError):
            tx.send(b"again", [sub_rx])
        sub_rx.close()
        sub_tx.send(b"kept")
        _, (receiver,) = bag.os_recv(rx)
        assert bag.os_recv(receiver)[0] == b"kept"

    @pytest.mark.parametrize("why", ["broken", "foreign", "closed", "twice"])
    def test_transport_failed_send_takes_nothing(
        self, bag: Bag, backend: Backend, why: str
    ) -> None:
        """B83: after a failed send nothing was sent and every attached handle is as before."""
        tx, rx = bag.os_channel(backend)
        moved_tx, moved_rx = bag.os_channel(backend)
        sub_tx, sub_rx = bag.os_channel(backend)
        moved_tx.send(b"queued", [sub_tx])
        attachments: list[Any] = [sub_tx, moved_rx]
        expected: type[Exception] = IpcError
        if why == "broken":
            rx.close()
            until_broken(tx)
            expected = BrokenChannelError
        elif why == "foreign":
            attachments.append(Stranger())
            expected = ForeignHandleError
        elif why == "closed":
            attachments.append(sub_tx.clone())
            attachments[-1].close()
            expected = ClosedError
        else:
            attachments.append(moved_rx)
        with pytest.raises(expected):
            tx.send(pattern(PACKET), attachments)
        assert why == "broken" or nothing_waits(rx)
        data, (sender,) = bag.os_recv(moved_rx)
        assert data == b"queued"
        sender.close()
        moved_tx.send(b"more")
        assert bag.os_recv(moved_rx)[0] == b"more"
        sub_tx.send(b"sub")
        assert bag.os_recv(sub_rx)[0] == b"sub"
        sub_tx.close()
        with pytest.raises(Disconnected):  # no copy of the sender was left behind
            sub_rx.recv(30)

    def test_transport_next_send_after_a_failed_one(self, bag: Bag, backend: Backend) -> None:
        """B83: nothing of a failed send shows in the next message; the receiver can still move."""
        tx, rx = bag.os_channel(backend)
        moved_tx, moved_rx = bag.os_channel(backend)
        stranger: Any = Stranger()
        with pytest.raises(ForeignHandleError):
            tx.send(b"never", [moved_rx, stranger])
        moved_tx.send(b"queued")
        tx.send(b"moves", [moved_rx])
        data, (receiver,) = bag.os_recv(rx)
        assert data == b"moves"
        assert bag.os_recv(receiver)[0] == b"queued"


def until_broken(tx: Any) -> None:
    """Send until the sender notices that its receiver is gone."""
    for _ in range(100_000):
        try:
            tx.send(b"x")
        except BrokenChannelError:
            return
    pytest.fail("sends without a receiver never fail")


def nothing_waits(rx: Any) -> bool:
    try:
        rx.recv(0)
    except Empty:
        return True
    return False
