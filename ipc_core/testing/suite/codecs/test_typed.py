"""Typed channels: every received object is of the declared type."""

from __future__ import annotations

from typing import Any

import pytest

from ipc_core import (
    DecodeError,
    Disconnected,
    EncodeError,
    MovedError,
)
from ipc_core.spi import Backend, Capability, Kind
from ipc_core.testing.bag import Bag
from ipc_core.testing.bombs import exploded
from ipc_core.testing.marks import requires
from ipc_core.testing.waiting import BOUND


class TestTyped:
    def test_typed_values(self, bag: Bag, messages: Any) -> None:
        """B1: Structs, dataclasses, TypedDicts, NamedTuples, unions and containers arrive."""
        m = messages
        order = m.Order(
            [m.Item("tea", 2.5), m.Item("\u8336", 1e300)],
            None,
            m.Note("thanks", [1, 2]),
            {"street": "Main", "number": 7},
            {"a": m.Circle(m.Point(0.0, 1.0), 2.0), "b": m.Square(m.Point(3.0, 4.0), 5.0)},
        )
        tx, rx = bag.channel(m.Order, codec=m.CODEC)
        tx.send(order)
        received = rx.recv()
        assert received == order
        assert type(received.note) is m.Note
        assert type(received.shapes["b"].corner) is m.Point
        for type_, value in (
            (m.Shape, m.Circle(m.Point(0.0, 0.0), 1.0)),
            (m.Notes, [m.Note("x" * 100_000, [])]),
            (tuple[int, str], (1, "one")),
            (m.Address, {"street": "", "number": -1}),
            (None, {"anything": [None, True, 2**63, b"bytes"]}),
        ):
            any_tx, any_rx = bag.channel(type_, codec=m.CODEC)
            any_tx.send(value)
            assert any_rx.recv() == value

    def test_typed_ends(self, bag: Bag, messages: Any) -> None:
        """I31: declared endpoints come out in their places, typed in turn."""
        m = messages
        tx, rx = bag.channel(m.Ends, codec=m.CODEC)
        sub = [bag.channel(m.Reply, codec=m.CODEC) for _ in range(6)]
        orders_tx, orders_rx = bag.channel(m.Order, codec=m.CODEC)
        (bytes_tx, bytes_rx), (more_tx, more_rx) = bag.bytes_channel(), bag.bytes_channel()
        tx.send(
            m.Ends(
                sender=sub[0][0],
                bytes_sender=bytes_tx,
                opaque_sender=bag.keep(sub[1][0].clone().to_opaque()),
                receiver=sub[2][1],
                bytes_receiver=more_rx,
                opaque_receiver=sub[3][1].to_opaque(),
                several=[orders_tx, orders_tx],
                by_name={"a": sub[4][1]},
                there=sub[5][0],
            )
        )
        got = rx.recv()
        for end in (got.sender, got.bytes_sender, got.receiver, got.bytes_receiver,
                    *got.several, *got.by_name.values(), got.there):  # fmt: skip
            bag.keep(end)
        opaque_tx = bag.keep(got.opaque_sender.to(m.Reply))
        opaque_rx = bag.keep(got.opaque_receiver.to(m.Reply))
        assert got.absent is None
        for sender, receiver in (
            (got.sender, sub[0][1]),
            (opaque_tx, sub[1][1]),
            (sub[2][0], got.receiver),
            (sub[3][0], opaque_rx),
            (sub[4][0], got.by_name["a"]),
            (got.there, sub[5][1]),
        ):
            sender.send(m.Reply(5))
            assert receiver.recv() == m.Reply(5)
        got.bytes_sender.send(b"a")
        more_tx.send(b"b")
        assert [bytes_rx.recv(), got.bytes_receiver.recv()] == [b"a", b"b"]
        got.several[1].send(m.Order([], got.sender))
        order = orders_rx.recv()
        bag.keep(order.reply).send(m.Reply(6))
        assert sub[0][1].recv() == m.Reply(6)
        with pytest.raises(MovedError):
            sub[2][1].recv()

    @requires(Capability.SHARED_MEMORY)
    def test_typed_regions(self, bag: Bag, messages: Any) -> None:
        """I31: declared regions come out in their places."""
        m = messages
        tx, rx = bag.channel(m.Memory, codec=m.CODEC)
        tx.send(m.Memory(bag.region(b"one"), [bag.region(b"two"), bag.region(b"")]))
        got = rx.recv()
        assert [bytes(bag.keep(r)) for r in (got.region, *got.others)] == [b"one", b"two", b""]

    def test_recursive_type(self, bag: Bag, messages: Any) -> None:
        """I31: a type may hold itself, and senders of itself."""
        m = messages
        tx, rx = bag.channel(m.Tree, codec=m.CODEC)
        tx.send(m.Tree([m.Tree([]), m.Tree([], tx)]))
        back = bag.keep(rx.recv().branches[1].reply)
        back.send(m.Tree([m.Tree([])]))
        assert rx.recv() == m.Tree([m.Tree([])])

    def test_mismatch_names_the_place(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I39: a payload that does not fit says where, its attachments are closed, and the next
        message arrives."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.Order, codec=m.CODEC)
        sub_tx, sub_rx = bag.os_channel(backend)
        items: list[dict[str, object]] = [{"name": "x", "price": 1.0} for _ in range(4)]
        items[3]["price"] = "much"
        tx.send(m.forged({"reply": m.slot(0), "items": items}), [sub_tx])
        sub_tx.close()
        with pytest.raises(DecodeError, match=r"`\$\.items\[3\]\.price`"):
            rx.recv()
        with pytest.raises(Disconnected):
            sub_rx.recv(BOUND)
        tx.send(m.forged({"items": []}))
        assert rx.recv() == m.Order([])

    def test_no_code_runs(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I39: bombs for pickle are errors or data, never code."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.Order, codec=m.CODEC)
        any_tx, any_rx = bag.forged_channel(backend, codec=m.CODEC)
        exploded.clear()
        for bomb in m.bombs():
            for sender, receiver in ((tx, rx), (any_tx, any_rx)):
                sender.send(bomb)
                try:
                    receiver.recv()
                except DecodeError:
                    pass
                assert exploded == []
        tx.send(m.forged({"items": []}))
        assert rx.recv() == m.Order([])

    def test_absurd_sizes(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I39: lengths beyond the message and nesting beyond the stack are errors, at once."""
        m = messages
        for type_ in (None, m.Order, m.Tree, list[int], dict[str, bytes]):
            tx, rx = bag.forged_channel(backend, type_, codec=m.CODEC)
            for body in (
                b"\xdd\xff\xff\xff\xff",
                b"\xdf\xff\xff\xff\xff",
                b"\xdb\xff\xff\xff\xff",
                b"\xc6\xff\xff\xff\xff",
                b"\xc9\xff\xff\xff\xff\x49",
                b"\xdd\x7f\xff\xff\xff" + b"\xc0" * 100,
                b"\x91" * 200_000,
                b"\x81\xa1a" * 200_000,
                b"\x81\xa8branches\x91" * 50_000,
                b"\xc1",
                b"\xc0\xc0",
            ):
                tx.send(m.TAG + body)
                with pytest.raises(DecodeError):
                    rx.recv()

    def test_forged_attachments(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I38, I40, W1: slots that are not there, are something else, are used twice, or are no
        slots, are errors; the attachments are closed."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.ReplySenders, codec=m.CODEC)
        for forged in (
            [m.slot(0), m.slot(0)],
            [m.slot(1)],
            [m.slot(-1)],
            [m.slot(2**64 - 1)],
            [m.slot([0, -1])],
            [m.slot([0, 0])],
            [m.slot([])],
            [m.slot([0, 1, 2])],
            [m.slot("0")],
            [0],
            [None],
            [m.slot(0), "no sender"],
        ):
            sub_tx, sub_rx = bag.os_channel(backend)
            tx.send(m.forged(forged), [sub_tx])
            sub_tx.close()
            with pytest.raises(DecodeError, match=r"\$\[\d\]"):
                rx.recv()
            with pytest.raises(Disconnected):
                sub_rx.recv(BOUND)
        lost_tx, lost_rx = bag.os_channel(backend)
        tx.send(m.forged([m.slot(0)]), [lost_rx])
        with pytest.raises(DecodeError, match="receiver"):
            rx.recv()
        assert lost_tx.wait_closed(BOUND)

    def test_message_does_not_choose(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I40: codec and type of a received end are those declared, not those of its maker."""
        m = messages
        tx, rx = bag.forged_channel(backend, m.ReplyReceiver, codec=m.CODEC)
        sub_tx, sub_rx = bag.os_channel(backend)
        exploded.clear()
        tx.send(m.forged(m.slot(0)), [sub_rx])
        received = bag.recv(rx)
        assert sub_rx.kind is Kind.RECEIVER
        for bomb in m.bombs():
            sub_tx.send(bomb)
            with pytest.raises(DecodeError):
                received.recv()
        assert exploded == []
        sub_tx.send(m.forged({"number": 3}))
        assert received.recv() == m.Reply(3)

    def test_what_cannot_be_encoded(self, bag: Bag, messages: Any) -> None:
        """W2: an error of encoding names the reason, sends nothing, and keeps receivers."""
        m = messages
        tx, rx = bag.channel(m.Ends, codec=m.CODEC)
        _, reply_rx = bag.channel(m.Reply, codec=m.CODEC)
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for wrong, match in (
            (lambda: None, "cannot carry a function"),
            (object(), "cannot carry a object"),
            (2**64, "int"),
            (deep, "recursion"),
            ([reply_rx, object()], "object"),
        ):
            with pytest.raises(EncodeError, match=match):
                tx.send(wrong)
        while deep:
            deep = deep.pop()
        tx.send({"not": "Ends"})
        with pytest.raises(DecodeError):
            rx.recv()
        holder_tx, holder_rx = bag.channel(m.ReplyReceiver, codec=m.CODEC)
        holder_tx.send(reply_rx)
        bag.recv(holder_rx)

    def test_undeclared_ends(self, bag: Bag, messages: Any) -> None:
        """I40: an end that the type has no place for, or of another codec, is not sent."""
        m = messages
        tx, rx = bag.channel(m.Order, codec=m.CODEC)
        other_tx, _ = bag.channel(m.Order, codec=m.CODEC)
        pickle_tx, _ = bag.channel()
        bytes_tx, _ = bag.bytes_channel()
        _, reply_rx = bag.channel(m.Reply, codec=m.CODEC)
        any_tx, _ = bag.channel(codec=m.CODEC)
        for wrong, match in (
            (other_tx, "Order"),
            (pickle_tx, "'pickle'"),
            (bytes_tx, "IpcBytesSender"),
            (reply_rx, "IpcReceiver"),
        ):
            with pytest.raises(EncodeError, match=match):
                tx.send(m.Order([], wrong))
            with pytest.raises(EncodeError):
                any_tx.send(wrong)
        sub_tx, sub_rx = bag.channel(codec=m.CODEC)
        tx.send(m.Order([], sub_tx))  # it can carry a Reply too
        bag.keep(rx.recv().reply).send(m.Reply(1))
        assert sub_rx.recv() == {"number": 1}

    def test_ends_disagree(self, bag: Bag, backend: Backend, messages: Any) -> None:
        """I39: two ends with different codecs or types find out at the first message."""
        m = messages
        typed = bag.channel(codec=m.CODEC)[0]._format
        plain = bag.channel()[0]._format
        for size in (1, 100_000, 2_000_000):
            text = "x" * size
            tx, rx = bag.forged_channel(backend)
            tx.send(typed.to_payload(text))
            with pytest.raises(DecodeError) as caught:
                rx.recv()
            if size == 1:  # of a large one the first bytes may be gone with the rest
                assert "'msgspec' wrote this message" in str(caught.value)
                assert "its receiver uses 'pickle'" in str(caught.value)
            tx.send(plain.to_payload(text))
            assert rx.recv() == text
            tx, rx = bag.forged_channel(backend, str, codec=m.CODEC)
            tx.send(plain.to_payload(text))
            with pytest.raises(DecodeError, match="its receiver uses 'msgspec'"):
                rx.recv()
            tx.send(typed.to_payload([text]))
            with pytest.raises(DecodeError, match="Expected `str`, got `array`"):
                rx.recv()
            tx.send(typed.to_payload(text))
            assert rx.recv() == text
