"""Payloads that no coder wrote: an error for that message, and no more."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import pytest

from ipc_core import DecodeError
from ipc_core.codecs import tags
from ipc_core.spi import Backend, Codec
from ipc_core.testing.bag import Bag
from ipc_core.testing.bombs import Bomb, exploded, wrapped
from ipc_core.testing.codec_suite.samples import PLAIN, Samples, bound, joined

GARBAGE = 500


def decodes(rx: Any) -> bool:
    try:
        rx.recv()
    except DecodeError:
        return False
    return True


class TestCodecTrust:
    samples: ClassVar[Samples] = PLAIN

    def test_no_code_runs(self, bag: Bag, codec: Codec, backend: Backend) -> None:
        """A codec with `runs_code` False runs no code for any bytes."""
        if codec.runs_code:
            pytest.skip(f"{codec.name} says that what peers send runs code")
        exploded.clear()
        for type_ in {type_: None for type_, _ in self.samples}:
            tx, rx = bag.forged_channel(backend, type_, codec=codec.name)
            payloads = [*wrapped(codec.name)]
            for bomb in (Bomb("alone"), [Bomb("in a list")], {"key": Bomb("in a dict")}):
                try:
                    payloads.append(joined(bound(codec, type_).to_payload(bomb)))
                except Exception:
                    continue
            for payload in payloads:
                tx.send(payload)
                decodes(rx)
                assert exploded == []

    def test_garbage(self, bag: Bag, codec: Codec, backend: Backend) -> None:
        """Bytes at random after the codec's name, and messages with a few bytes changed."""
        if codec.runs_code:
            pytest.skip(f"{codec.name} says that what peers send runs code")
        rng = random.Random(7)
        start = tags.FIRST_BYTE + codec.name.encode() + b"\0"
        for type_, value in self.samples:
            tx, rx = bag.forged_channel(backend, type_, codec=codec.name)
            good = joined(bound(codec, type_).to_payload(value))
            for number in range(GARBAGE // len(self.samples) + 1):
                changed = bytearray(good)
                for _ in range(min(4, len(good) - len(start))):
                    changed[rng.randrange(len(start), len(good))] = rng.randrange(256)
                tx.send(start + rng.randbytes(number) if number % 2 else bytes(changed))
                decodes(rx)
            tx.send(good)
            assert rx.recv() == value

    def test_a_message_that_is_cut_off(self, bag: Bag, codec: Codec, backend: Backend) -> None:
        for type_, value in self.samples:
            tx, rx = bag.forged_channel(backend, type_, codec=codec.name)
            good = joined(bound(codec, type_).to_payload(value))
            for size in {0, 1, len(good) // 2, len(good) - 1}:
                tx.send(good[:size])
                try:
                    assert rx.recv() != value
                except DecodeError:
                    pass
            tx.send(good)
            assert rx.recv() == value

    def test_messages_of_other_codecs(self, bag: Bag, codec: Codec, backend: Backend) -> None:
        """Another codec's message is refused before decoding; the error names both if it can."""
        tx, rx = bag.forged_channel(backend, self.samples[0][0], codec=codec.name)
        for payload, writer in (
            (b"\x01other\0[]", "'other'"),
            (b"\x01x", "message"),
            (b"", "message"),
        ):
            tx.send(payload)
            with pytest.raises(DecodeError, match=writer):
                rx.recv()
