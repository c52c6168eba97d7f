"""Objects become bytes and come back."""

from __future__ import annotations

import copy
import threading
from typing import Any, ClassVar

import pytest

from ipc_core import EncodeError, IpcReceiver, IpcSender
from ipc_core.spi import Backend, Codec
from ipc_core.testing.bag import Bag
from ipc_core.testing.codec_suite.samples import (
    PLAIN,
    Samples,
    Unknown,
    bound,
    joined,
    kinds_of_buffer,
)


class TestCodecValues:
    samples: ClassVar[Samples] = PLAIN

    def test_values_arrive(self, bag: Bag, codec: Codec, backend: Backend) -> None:
        for type_, value in self.samples:
            before = copy.deepcopy(value)
            tx, rx = bag.channel(type_, codec=codec.name)
            tx.send(value)
            received = rx.recv()
            assert received == before
            assert type(received) is type(before)
            assert value == before, "encoding changed the object"

    def test_what_arrives_is_a_copy(self, bag: Bag, codec: Codec) -> None:
        for type_, value in self.samples:
            if type(value) in (list, dict) and value:
                tx, rx = bag.channel(type_, codec=codec.name)
                tx.send(value)
                tx.send(value)
                first, second = rx.recv(), rx.recv()
                assert first is not value
                assert first is not second
                first.clear()
                assert second == value

    def test_payloads_do_not_share_memory(self, codec: Codec) -> None:
        """The result of `encode` stays as it is while another message is encoded."""
        for type_, value in self.samples:
            format = bound(codec, type_)
            first = format.to_payload(value)
            expected = joined(first)
            for other_type, other in self.samples:
                if other_type == type_:
                    format.to_payload(other)
            assert joined(first) == expected
            assert format.from_payload(expected) == value

    def test_every_kind_of_buffer(self, codec: Codec) -> None:
        for type_, value in self.samples:
            format = bound(codec, type_)
            for data in kinds_of_buffer(joined(format.to_payload(value))):
                assert format.from_payload(data) == value

    @pytest.mark.threads
    def test_threads(self, bag: Bag, codec: Codec, many_switches: None) -> None:
        """Several threads encode and decode with one coder."""
        type_ = self.samples[0][0]
        values = [value for other, value in self.samples if other == type_]
        format = bound(codec, type_)
        start = threading.Barrier(4)

        def work(offset: int) -> None:
            start.wait(30)
            for number in range(300):
                value = values[(number + offset) % len(values)]
                assert format.from_payload(joined(format.to_payload(value))) == value

        workers = [bag.thread(work, offset) for offset in range(4)]
        for worker in workers:
            worker.result()

    def test_what_it_cannot_carry(self, bag: Bag, codec: Codec) -> None:
        """An error that is the sender's; nothing was sent, and the next message is."""
        type_, value = self.samples[-1]
        tx, rx = bag.channel(type_, codec=codec.name)
        deep: Any = None
        for _ in range(100_000):
            deep = [deep]
        for wrong in (Unknown(), [Unknown()], {"key": Unknown()}, deep):
            with pytest.raises(EncodeError):
                tx.send(wrong)
        while deep:
            deep = deep.pop()
        tx.send(value)
        assert rx.recv() == value

    def test_ends_keep_the_codec(self, bag: Bag, codec: Codec) -> None:
        """An end that travels in a message of the default codec has the same codec there."""
        type_, value = self.samples[-1]
        outer_tx, outer_rx = bag.channel()
        tx, rx = bag.channel(type_, codec=codec.name)
        outer_tx.send([tx, rx])
        got_tx, got_rx = map(bag.keep, outer_rx.recv())
        assert isinstance(got_tx, IpcSender)
        assert isinstance(got_rx, IpcReceiver)
        tx.send(value)
        got_tx.send(value)
        assert [got_rx.recv(), got_rx.recv()] == [value, value]
        assert got_rx._format.codec is codec

    def test_types_that_it_refuses(self, codec: Codec) -> None:
        """Binding to any type works or raises TypeError."""
        for type_ in (int, "text", 5, Unknown, list[Unknown], IpcSender[Unknown], ...):
            try:
                bound(codec, type_)
            except TypeError:
                pass
