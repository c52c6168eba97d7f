"""JSON as a codec, alone and beside others."""

from __future__ import annotations

from typing import Any

import pytest

import ipc_core as ipc
from ipc_core.spi import Backend
from ipc_core.testing.bag import Bag


def test_messages_are_json(bag: Bag, backend: Backend) -> None:
    tx, rx = bag.os_channel(backend)
    sender = bag.keep(ipc.IpcSender[Any](tx.clone(), backend, bag.channel(codec="json")[0]._format))
    sender.send({"a": [1, None]})
    assert bytes(rx.recv(30)[0]) == b'\x01json\0{"a":[1,null]}'  # type: ignore[arg-type]


def test_it_checks_no_types() -> None:
    with pytest.raises(TypeError, match="checks no types"):
        ipc.channel(int, codec="json")


def test_every_end_of_json(bag: Bag) -> None:
    tx, rx = bag.channel(codec="json")
    bytes_tx, bytes_rx = bag.bytes_channel(max_message=5)
    tx.send([bytes_tx, bytes_rx])
    got_tx, got_rx = map(bag.keep, rx.recv())
    got_tx.send(b"bytes")
    assert got_rx.recv() == b"bytes"
    with pytest.raises(ipc.EncodeError, match="max_message"):
        got_tx.send(b"longer")
    tx.send({"$ipc": ["IpcSender", 0]})
    tx.send({"$ipc": ["Popen", 0]})
    tx.send({"$ipc": 5})
    for _ in range(3):
        with pytest.raises(ipc.DecodeError):
            rx.recv()


def test_json_and_msgspec_keep_apart(bag: Bag, backend: Backend) -> None:
    pytest.importorskip("msgspec")
    json_tx, json_rx = bag.channel(codec="json")
    typed_tx, typed_rx = bag.channel(codec="msgspec")
    for tx, end, name in ((json_tx, typed_rx, "msgspec"), (typed_tx, json_rx, "json")):
        with pytest.raises(ipc.EncodeError, match=f"its own codec is '{name}'"):
            tx.send([end])
    for tx, format, names in (
        (bag.forged_channel(backend, codec="json"), typed_tx._format, "'msgspec'.*'json'"),
        (bag.forged_channel(backend, codec="msgspec"), json_tx._format, "'json'.*'msgspec'"),
        (bag.forged_channel(backend), json_tx._format, "'json'.*'pickle'"),
    ):
        tx[0].send(format.to_payload(["text"]))
        with pytest.raises(ipc.DecodeError, match=names):
            tx[1].recv()
