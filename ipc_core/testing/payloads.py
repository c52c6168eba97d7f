"""The payloads of the tests: bytes that show where they were cut, moved or mixed, and sizes."""

from __future__ import annotations

from ipc_core.messages.message import copied
from ipc_core.spi import Backend, Buffer, Payload

PACKET = 65_536
MIB = 1 << 20
SENTENCE = b"1234567"


def pattern(size: int, modulus: int = 251, flag: int = 0) -> bytes:
    """Return `size` bytes, of which number i is `i % modulus | flag`."""
    period = bytes(i % modulus | flag for i in range(modulus))
    return (period * (size // modulus + 1))[:size]


def packet_sizes(backend: Backend) -> list[int]:
    """The sizes at which the backend changes its method, and a common one."""
    return sorted({*backend.size_hints, PACKET})


def same(payload: Payload, expected: Buffer) -> bool:
    """Return whether these are the same bytes, so that a failing assertion prints no megabytes."""
    return len(payload) == len(expected) and copied(payload) == expected
