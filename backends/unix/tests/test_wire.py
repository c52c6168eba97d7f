"""The bytes of a frame, which processes of any width and version must agree on."""

from __future__ import annotations

import os
import socket

import pytest
from ipc_backend_unix import wire

from ipc_core.plugins import choice
from ipc_core.spi import DecodeError, Kind


def sent(payload: bytes, *, attach: bool = False) -> bytes:
    """The packet that a send puts into the socket."""
    backend = choice.backend("unix")
    tx, rx = backend.channel()
    inner, unused = backend.channel()
    tx.send(payload, [inner] if attach else ())
    packet, fds, _, _ = socket.recv_fds(rx.socket, 1 << 20, 300)  # type: ignore[attr-defined]
    for fd in fds:
        os.close(fd)
    for end in (tx, rx, inner, unused):
        end.close()
    return packet


def test_golden_bytes() -> None:
    """W31: fixed widths, little-endian, whatever the machine."""
    assert sent(b"hello") == bytes.fromhex("a17c 01 00 00000000") + b"hello"
    sender = bytes.fromhex("01 01 0000000000000000")
    assert sent(b"hello", attach=True) == bytes.fromhex("a17c 01 00 01000000") + sender + b"hello"
    in_memory = bytes.fromhex("a17c 01 02 00000000 a086010000000000")
    assert sent(bytes(100_000)) == in_memory
    assert wire.pack(wire.SWITCH, []) == bytes.fromhex("a17c 01 01 00000000")
    entry = wire.pack(0, [(Kind.RECEIVER, 3, 2**40 + 5)])
    assert entry == bytes.fromhex("a17c 01 00 01000000 02 03 0500000000010000")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_by_name(version: int) -> None:
    with pytest.raises(DecodeError, match=f"version {version}"):
        wire.Frame(memoryview(wire.MAGIC + bytes([version]) + bytes(5)))
