"""Codec, type and limit travel with an endpoint, whichever way it takes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import ipc_core
from ipc_core import (
    DecodeError,
    EncodeError,
    IpcBytesReceiver,
    IpcReceiver,
    IpcSender,
    MessageReceived,
    OpaqueIpcReceiver,
    Router,
)
from ipc_core.spi import Backend
from ipc_core.testing.bag import Bag
from ipc_core.testing.payloads import MIB
from ipc_core.testing.waiting import BOUND, SOON

LIMIT = 1000
BAD_LIMITS = (0, -1, True, 1.5, float("inf"), "1000", [1])


def is_like(end: Any, other: Any) -> bool:
    mine, theirs = end._format, other._format
    return (mine.codec, mine.type, mine.max_message) == (
        theirs.codec, theirs.type, theirs.max_message
    )  # fmt: skip


class TestFormats:
    def test_typed_ends_in_a_message(self, bag: Bag, messages: Any) -> None:
        """I31: ends of a typed channel that travel in a message of the default codec stay typed."""
        m = messages
        outer_tx, outer_rx = bag.channel()
        tx, rx = bag.channel(m.Reply, codec=m.CODEC, max_message=LIMIT)
        wanted = bag.keep(tx.clone())
        outer_tx.send([tx, rx, bag.keep(tx.clone().to_opaque())])
        got_tx, got_rx, opaque = map(bag.keep, outer_rx.recv())
        assert is_like(got_tx, wanted)
        assert is_like(got_rx, wanted)
        assert is_like(opaque, wanted)
        with pytest.raises(TypeError, match="carries"):
            opaque.to(m.Order)
        back = bag.keep(opaque.to(m.Reply))
        back.send(m.Reply(1))
        got_tx.send(m.Reply(2))
        assert [got_rx.recv(), got_rx.recv()] == [m.Reply(1), m.Reply(2)]
        with pytest.raises(EncodeError):
            got_tx.send([b"x" * LIMIT])

    def test_opaque_ends_in_a_typed_message(self, bag: Bag, messages: Any) -> None:
        """I102: an opaque end in a typed message has no type until it is given one."""
        m = messages
        tx, rx = bag.channel(dict[str, OpaqueIpcReceiver], codec=m.CODEC)
        sub_tx, sub_rx = bag.channel(m.Reply, codec=m.CODEC)
        tx.send({"end": sub_rx.to_opaque()})
        got = bag.keep(rx.recv()["end"].to(m.Reply))
        sub_tx.send(m.Reply(4))
        assert got.recv() == m.Reply(4)
        assert is_like(got, sub_tx)

    def test_typed_members_of_a_set(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I39: a set decodes each member's messages with its own codec and limit, and gives it
        back as it was."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.Reply, codec=m.CODEC, max_message=LIMIT)
        plain_tx, plain_rx = bag.channel()
        receivers = bag.receiver_set()
        typed, plain = receivers.add(rx), receivers.add(plain_rx)
        plain_tx.send("plain")
        for data in (m.forged({"number": 1}), pickle.dumps(2), m.forged(bytes(LIMIT))):
            tx.send(data)
        found: list[Any] = []
        while len(found) < 4:
            for result in receivers.try_select_timeout(BOUND):
                assert isinstance(result, MessageReceived)
                try:
                    found.append((result.id, result.message.to()))
                except DecodeError:
                    found.append((result.id, None))
        assert [message for id, message in found if id == typed] == [m.Reply(1), None, None]
        assert (plain, "plain") in found
        back = bag.keep(receivers.remove(typed))
        assert isinstance(back, IpcReceiver)
        tx.send(m.forged({"number": 2}))
        assert back.recv() == m.Reply(2)

    @pytest.mark.threads
    def test_typed_route(
        self, bag: Bag, backend: Backend, router: Router, messages: Any,
        reports: list[BaseException],
    ) -> None:  # fmt: skip
        """I39: a router decodes as the receiver would; a payload that does not fit is reported."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.Reply, codec=m.CODEC)
        queue = router.route_to_queue(rx)
        tx.send(m.forged({"number": "one"}))
        tx.send(m.forged({"number": 1}))
        assert queue.get(timeout=SOON) == m.Reply(1)
        assert [type(error) for error in reports] == [DecodeError]

    @pytest.mark.threads
    def test_typed_stream(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I98: a stream decodes as its receiver would; after an error it goes on."""
        pytest.importorskip("anyio")
        m = messages
        tx, rx = bag.forged_channel(backend, m.Reply, codec=m.CODEC, max_message=LIMIT)
        tx.send(m.forged({"number": 1}))
        tx.send(m.forged({"number": None}))
        tx.send(m.forged({"number": 2}))

        async def receive() -> list[Any]:
            found: list[Any] = []
            async with rx.to_stream() as stream:
                for _ in range(3):
                    try:
                        found.append(await anext(stream))
                    except DecodeError:
                        found.append(None)
            return found

        assert asyncio.run(receive()) == [m.Reply(1), None, m.Reply(2)]

    def test_typed_server(self, bag: Bag, messages: Any) -> None:
        """D10: a one-shot server has a codec, a type and a limit; so has its client."""
        m = messages
        server, name = bag.server(m.Reply, codec=m.CODEC, max_message=LIMIT)
        tx = bag.connect(name, m.Reply, codec=m.CODEC, max_message=LIMIT)
        with pytest.raises(EncodeError, match="max_message"):
            tx.send(bytes(LIMIT))
        tx.send(m.Reply(1))
        rx, first = server.accept(BOUND)
        assert first == m.Reply(1)
        assert is_like(bag.keep(rx), tx)

    def test_server_with_a_wrong_first_message(self, bag: Bag, messages: Any) -> None:
        """I39: a first message that does not fit is a DecodeError of accept."""
        m = messages
        server, name = bag.server(m.Reply, codec=m.CODEC)
        bag.connect(name, codec=m.CODEC).send({"number": "one"})
        with pytest.raises(DecodeError, match="number"):
            server.accept(BOUND)

    def test_types_that_do_not_bind(self, bag: Bag, messages: Any) -> None:
        """I40: a type that msgspec cannot carry is one TypeError, where the channel is made."""
        m = messages
        for wrong in (complex, object, list[complex], IpcSender[complex], "Order", 5,
                      m.ReplySender | m.ReplyReceiver, m.ReplySender | int,
                      list[IpcReceiver["NoSuchClass"]]):  # type: ignore[name-defined]  # noqa: F821  # fmt: skip
            with pytest.raises(TypeError, match="the codec 'msgspec' cannot carry"):
                ipc_core.channel(wrong, codec=m.CODEC)


class TestMaxMessage:
    def test_max_message(self, bag: Bag) -> None:
        """W2: a message over the limit is not sent, and its receivers stay; one at it is."""
        tx, rx = bag.channel(max_message=LIMIT)
        room = LIMIT - len(pickle.dumps(b"x" * 300, 5)) + 300
        tx.send(b"x" * room)
        assert rx.recv() == b"x" * room
        sub_tx, sub_rx = bag.channel()
        for size in (room + 1, 2 * MIB):
            with pytest.raises(EncodeError, match=f"max_message, {LIMIT}"):
                tx.send([b"x" * size, sub_rx])
        tx.send("next")
        assert rx.recv() == "next"
        sub_tx.send("still mine")
        assert sub_rx.recv() == "still mine"

    def test_max_message_is_checked_before_decoding(self, bag: Bag, backend: Backend) -> None:
        """I39: a peer's message over the limit is refused unread; its attachments are closed."""
        tx, rx = bag.forged_channel(backend, max_message=LIMIT)
        for size in (LIMIT + 1, 100_000, 3 * MIB):
            sub_tx, sub_rx = bag.os_channel(backend)
            # It would decode: bytes after the end of a pickle are not read.
            tx.send(pickle.dumps("decoded") + bytes(size - len(pickle.dumps("decoded"))), [sub_rx])
            with pytest.raises(DecodeError, match=f"{size} bytes .* max_message, {LIMIT}"):
                rx.recv()
            assert sub_tx.wait_closed(BOUND)
        tx.send(pickle.dumps("next"))
        assert rx.recv() == "next"

    def test_max_message_of_bytes(self, bag: Bag, backend: Backend) -> None:
        """B30: a bytes channel refuses at both ends a message over its limit."""
        tx, rx = bag.bytes_channel(max_message=LIMIT)
        tx.send(bytes(LIMIT))
        assert rx.recv() == bytes(LIMIT)
        for size in (LIMIT + 1, 3 * MIB):
            with pytest.raises(EncodeError, match="max_message"):
                tx.send(bytes(size))
        with pytest.raises(EncodeError, match="max_message"):
            tx.send(memoryview(bytes(2 * LIMIT)).cast("H"))
        raw_tx, raw_rx = bag.os_channel(backend)
        limited = bag.keep(IpcBytesReceiver(raw_rx, backend, LIMIT))
        for size in (LIMIT + 1, 3 * MIB):
            raw_tx.send(bytes(size))
            with pytest.raises(DecodeError, match=f"{size} bytes"):
                limited.recv()
        raw_tx.send(bytes(LIMIT))
        assert limited.recv() == bytes(LIMIT)

    def test_max_message_travels(self, bag: Bag) -> None:
        """I31: the limit goes with clones, opaque ends, and ends that are sent."""
        outer_tx, outer_rx = bag.channel()
        for make in (bag.channel, bag.bytes_channel):
            tx, rx = make(max_message=LIMIT)
            opaque = bag.keep(tx.clone().to_opaque())
            outer_tx.send([tx, bag.keep(tx.clone()), opaque, rx.to_opaque()])
            sent, clone, opaque_tx, opaque_rx = outer_rx.recv()
            again = opaque_tx.to() if make == bag.channel else opaque_tx.to_bytes()
            got_rx = opaque_rx.to() if make == bag.channel else opaque_rx.to_bytes()
            bag.keep(got_rx)
            for each in (sent, clone, again):
                with pytest.raises(EncodeError, match="max_message"):
                    bag.keep(each).send(bytes(LIMIT + 1))
                each.send(b"fits")
                assert got_rx.recv() == b"fits"

    def test_max_message_travels_in_typed_messages(self, bag: Bag, messages: Any) -> None:
        """I31: the limit goes with ends in typed messages."""
        m = messages
        tx, rx = bag.channel(m.Ends, codec=m.CODEC)
        sub = [bag.channel(m.Reply, codec=m.CODEC, max_message=LIMIT) for _ in range(4)]
        (bytes_tx, _), (_, bytes_rx) = (bag.bytes_channel(max_message=LIMIT) for _ in range(2))
        opaque_tx = bag.keep(sub[1][0].to_opaque())
        tx.send(m.Ends(sub[0][0], bytes_tx, opaque_tx, sub[2][1], bytes_rx,
                       sub[3][1].to_opaque(), [], {}))  # fmt: skip
        got = rx.recv()
        for name in ("sender", "opaque_sender", "receiver", "opaque_receiver"):
            assert bag.keep(getattr(got, name))._format.max_message == LIMIT
        for name in ("bytes_sender", "bytes_receiver"):
            assert bag.keep(getattr(got, name))._max_message == LIMIT

    def test_max_message_of_a_server(self, bag: Bag) -> None:
        """I39: a first message over the server's limit is an error of accept."""
        server, name = bag.server(max_message=LIMIT)
        bag.connect(name).send(bytes(LIMIT))
        with pytest.raises(DecodeError, match="max_message"):
            server.accept(BOUND)

    def test_bad_limits(self, backend: Backend) -> None:
        """I43: a limit that is no number of bytes is a ValueError everywhere."""
        for bad in BAD_LIMITS:
            calls: list[Callable[..., object]] = [
                ipc_core.channel,
                ipc_core.bytes_channel,
                ipc_core.IpcOneShotServer.new,
                partial(IpcSender.connect, "unix+once:x"),
                partial(ipc_core.IpcBytesSender.connect, "unix+once:x"),
            ]
            for call in calls:
                with pytest.raises(ValueError, match="max_message must be"):
                    call(max_message=bad)
