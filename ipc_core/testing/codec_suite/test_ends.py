"""Endpoints and regions in messages, for codecs that carry them."""

from __future__ import annotations

from typing import Any

import pytest

from ipc_core import (
    DecodeError,
    EncodeError,
    IpcReceiver,
    IpcSender,
    IpcSharedMemory,
    MovedError,
)
from ipc_core.spi import Backend, Capability, Codec
from ipc_core.testing.bag import Bag
from ipc_core.testing.codec_suite.samples import joined
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import BOUND


def holder(bag: Bag, codec: Codec, end: Any) -> tuple[IpcSender[Any], IpcReceiver[Any]]:
    """A channel for dicts of such ends: declared if the codec knows types, else of anything."""
    for type_ in (dict[str, end], Any):
        try:
            return bag.channel(type_, codec=codec.name)
        except TypeError:
            continue
    pytest.skip("it carries objects of certain types only")


def send_ends(tx: IpcSender[Any], message: object) -> None:
    """Send a message with ends; skip the test for a codec that refuses them."""
    try:
        tx.send(message)
    except EncodeError as error:
        pytest.skip(f"it carries none: {error}")


class TestCodecEnds:
    def test_senders(self, bag: Bag, codec: Codec) -> None:
        tx, rx = holder(bag, codec, IpcSender[Any])
        (a_tx, a_rx), (b_tx, b_rx) = (bag.channel(codec=codec.name) for _ in range(2))
        send_ends(tx, {"a": a_tx, "b": b_tx})
        got = rx.recv()
        for name, sub_rx in (("b", b_rx), ("a", a_rx)):
            assert isinstance(got[name], IpcSender)
            bag.keep(got[name]).send([name])
            assert sub_rx.recv() == [name]
        a_tx.send("mine still")
        assert a_rx.recv() == "mine still"

    def test_receivers(self, bag: Bag, codec: Codec) -> None:
        tx, rx = holder(bag, codec, IpcReceiver[Any])
        sub_tx, sub_rx = bag.channel(codec=codec.name)
        sub_tx.send("queued")
        send_ends(tx, {"end": sub_rx})
        got = bag.keep(rx.recv()["end"])
        sub_tx.send(["later"])
        assert [got.recv(), got.recv()] == ["queued", ["later"]]
        with pytest.raises(MovedError):
            sub_rx.recv()

    @requires(Capability.SHARED_MEMORY)
    def test_regions(self, bag: Bag, codec: Codec) -> None:
        tx, rx = holder(bag, codec, IpcSharedMemory)
        send_ends(tx, {"a": bag.region(b"one"), "b": bag.region(b"two")})
        got = rx.recv()
        assert [bytes(bag.keep(got[name])) for name in ("a", "b")] == [b"one", b"two"]

    def test_a_failed_message_leaves_nothing(self, bag: Bag, codec: Codec) -> None:
        """Ends met before an error do not travel with the next message; receivers stay."""
        tx, rx = holder(bag, codec, IpcReceiver[Any])
        sub_tx, sub_rx = bag.channel(codec=codec.name)
        _, closed_rx = bag.channel(codec=codec.name)
        closed_rx.close()
        with pytest.raises((EncodeError, ValueError)):
            tx.send({"a": sub_rx, "b": closed_rx})
        tx.send({})
        assert rx.recv() == {}
        sub_tx.send("here")
        assert sub_rx.recv() == "here"

    def test_slots_are_checked(self, bag: Bag, codec: Codec, backend: Backend) -> None:
        """A message whose attachments are missing or of another kind is an error."""
        tx, _ = holder(bag, codec, IpcSender[Any])
        sub_tx, _ = bag.channel(codec=codec.name)
        message = _encoded(tx, {"end": sub_tx})
        raw_tx, raw_rx = bag.os_channel(backend)
        rx = bag.keep(IpcReceiver[Any](raw_rx, backend, tx._format))
        raw_tx.send(message)
        with pytest.raises(DecodeError):
            rx.recv()
        lost_tx, lost_rx = bag.os_channel(backend)
        raw_tx.send(message, [lost_rx])
        with pytest.raises(DecodeError):
            rx.recv()
        assert lost_tx.wait_closed(BOUND)
        raw_tx.send(message, [lost_tx])
        assert isinstance(bag.keep(rx.recv()["end"]), IpcSender)


def _encoded(tx: IpcSender[Any], message: object) -> bytes:
    from ipc_core.messages.message import encode_message

    try:
        data, _ = encode_message(tx._format, message)
    except EncodeError as error:
        pytest.skip(f"it carries none: {error}")
    return joined(data)
