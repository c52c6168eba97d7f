"""Malformed messages: each right and region in one is given back exactly once.

The bindings here are a ledger, not a kernel. Descriptors are well-formed: the kernel checks them.
"""

from __future__ import annotations

import ctypes
import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipc_backend_macos import incoming, kernel, mach, notifications, wire
from ipc_backend_macos.backend import MAKERS

from ipc_core.spi import DecodeError, Kind

RECEIVED = mach.MACH_MSGH_BITS_COMPLEX | 17 << mach.MACH_MSGH_BITS_LOCAL_SHIFT
UNMAPPABLE = 0xBAD000
"""Names from here on are no memory entries."""


class Ledger:
    """Bindings in place of libSystem that count the rights and regions given back."""

    def __init__(self) -> None:
        self.given_back: Counter[Any] = Counter()
        self.mapped: dict[int, Any] = {}

    def mach_task_self(self) -> int:
        return 7

    def mach_port_deallocate(self, task: int, name: int) -> int:
        self.given_back["send", name] += 1
        return 0

    def mach_port_mod_refs(self, task: int, name: int, right: int, delta: int) -> int:
        assert (right, delta) == (mach.MACH_PORT_RIGHT_RECEIVE, -1)
        self.given_back["receive", name] += 1
        return 0

    def mach_port_request_notification(self, *arguments: Any) -> int:
        return mach.KERN_INVALID_ARGUMENT  # every gate is open already

    def mach_port_type(self, task: int, name: int, kind: Any) -> int:
        return 0

    def vm_map(self, task: int, address: Any, size: int, *rest: Any) -> int:
        if rest[2] >= UNMAPPABLE or size > 1 << 20:
            return mach.KERN_INVALID_ARGUMENT
        memory = (ctypes.c_char * size)()
        address._obj.value = ctypes.addressof(memory)
        self.mapped[ctypes.addressof(memory)] = memory
        return 0

    def vm_deallocate(self, task: int, address: int, size: int) -> int:
        self.given_back["memory", address] += 1
        return 0


@pytest.fixture(autouse=True, scope="module")
def no_thread() -> Iterator[None]:
    before = kernel._bindings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notifications, "port", lambda: 0)
        yield
    kernel.use(before)


class Forged:
    """A message as it is received, and the rights and regions in it."""

    def __init__(self) -> None:
        self.expected: Counter[Any] = Counter()
        self.memory: list[Any] = []
        self._descriptors: list[bytes] = []
        self.bits = RECEIVED
        self.remote = 0
        self._name = 0x1003

    def name(self) -> int:
        self._name += 0x100
        return self._name

    def right(self, disposition: int, name: int | None = None) -> None:
        name = self.name() if name is None else name
        self._descriptors.append(wire.port_descriptor(name, disposition))
        self.owes(name, disposition)

    def owes(self, name: int, disposition: int) -> None:
        if name not in (mach.MACH_PORT_NULL, mach.MACH_PORT_DEAD):
            self.expected["receive" if disposition == 16 else "send", name] += 1

    def guarded(self) -> None:
        name = self.name()
        self._descriptors.append(mach.GUARDED.pack(0, 0, 16, 4, name))
        self.owes(name, 16)

    def region(self, size: int, kind: int = mach.MACH_MSG_OOL_DESCRIPTOR) -> None:
        memory = (ctypes.c_char * max(size, 1))()
        self.memory.append(memory)
        address = ctypes.addressof(memory) if size else 0
        self._descriptors.append(mach.OOL.pack(address, 1, 1, 0, kind, size))
        if size:
            self.expected["memory", address] += 1

    def array(self, count: int, disposition: int) -> None:
        names = (ctypes.c_uint32 * count)(*[self.name() for _ in range(count)])
        self.memory.append(names)
        kind = mach.MACH_MSG_OOL_PORTS_DESCRIPTOR
        address = ctypes.addressof(names) if count else 0
        self._descriptors.append(mach.OOL.pack(address, 1, 1, disposition, kind, count))
        if count:
            self.expected["memory", address] += 1
        for name in names:
            self.owes(name, disposition)

    def reply(self, disposition: int) -> None:
        self.remote = self.name()
        self.bits |= disposition
        self.owes(self.remote, disposition)

    def bytes(self, rest: bytes, id: int = wire.MESSAGE_ID) -> bytes:
        body = mach.BODY.pack(len(self._descriptors)) + b"".join(self._descriptors) + rest
        size = mach.HEADER.size + len(body)
        return mach.HEADER.pack(self.bits, size, self.remote, 0x103, 0, id) + body


def claimed(message: bytes, forged: Forged) -> tuple[bytes, list[Kind]] | None:
    """Claim a message: return its payload and the kinds of its attachments, None for DecodeError.
    Everything in it has been given back then."""
    ledger = Ledger()
    kernel.use(ledger)
    size = len(message)
    buffer = (ctypes.c_char * (size + 20)).from_buffer_copy(message + bytes(20))
    found = None
    try:
        data, attachments = incoming.claim(memoryview(buffer).cast("B"), size, MAKERS)
        found = bytes(data), [attachment.kind for attachment in attachments]
        for attachment in attachments:
            attachment.close()
        del data, attachments
    except DecodeError:
        pass
    expected = forged.expected + Counter({("memory", address): 1 for address in ledger.mapped})
    if ledger.given_back != expected:
        gc.collect()
    assert ledger.given_back == expected
    return found


def ours(
    records: list[tuple[int, int]], length: int, *, magic: int = wire.MAGIC,
    version: int = wire.VERSION, flags: int = 0, count: int | None = None,
) -> bytes:  # fmt: skip
    head = wire.OURS.pack(magic, version, flags, len(records) if count is None else count, length)
    return head + b"".join(wire.RECORD.pack(*record) for record in records)


def padded(message: Forged, rest: bytes, payload: bytes) -> bytes:
    """`rest` and the payload at its place."""
    offset = len(message.bytes(rest))
    return rest + bytes(-offset % 8) + payload + bytes(-len(payload) % 4)


def test_a_proper_message() -> None:
    forged = Forged()
    for disposition in (17, 16, 17, 17, 17):
        forged.right(disposition)
    records = [(1, 0), (2, 0), (3, 5000), (4, 0), (5, 0)]
    rest = padded(forged, ours(records, 5), b"hello")
    kinds = [Kind.SENDER, Kind.RECEIVER, Kind.SHARED_MEMORY, Kind.SHARED_MEMORY, Kind.SENDER]
    assert claimed(forged.bytes(rest), forged) == (b"hello", kinds)


def test_a_proper_message_out_of_line() -> None:
    forged = Forged()
    forged.region(20_000)
    rest = padded(forged, ours([], 20_000, flags=wire.OUT_OF_LINE), b"")
    assert claimed(forged.bytes(rest), forged) == (bytes(20_000), [])


@pytest.mark.parametrize(
    ("records", "rights"),
    [
        ([(1, 0)], []),
        ([], [17]),
        ([(1, 0)], [16]),
        ([(2, 0)], [17]),
        ([(5, 0)], [17]),
        ([(1, 0), (2, 0)], [16, 17]),
        ([(1, 0)], [18]),
        ([(9, 0)], [17]),
        ([(0, 0)], []),
        ([(3, 0)], [17]),
        ([(4, 1)], []),
        ([(1, 8)], [17]),
    ],
)
def test_records_that_do_not_fit_the_rights(
    records: list[tuple[int, int]], rights: list[int]
) -> None:
    forged = Forged()
    for disposition in rights:
        forged.right(disposition)
    assert claimed(forged.bytes(padded(forged, ours(records, 0), b"")), forged) is None


def test_a_region_that_is_none() -> None:
    """The rights before and after it are given back too."""
    forged = Forged()
    forged.right(17)
    forged.right(17, UNMAPPABLE)
    forged.right(16)
    rest = padded(forged, ours([(1, 0), (3, 4096), (2, 0)], 0), b"")
    assert claimed(forged.bytes(rest), forged) is None


@pytest.mark.parametrize("name", [mach.MACH_PORT_NULL, mach.MACH_PORT_DEAD])
@pytest.mark.parametrize("kind", [wire.SENDER, wire.RECEIVER, wire.REGION])
def test_a_right_that_is_none(kind: int, name: int) -> None:
    forged = Forged()
    forged.right(wire.RIGHTS[kind][0], name)
    forged.right(17)
    rest = padded(forged, ours([(kind, 10 * (kind == wire.REGION)), (1, 0)], 0), b"")
    found = claimed(forged.bytes(rest), forged)
    dead_sender = kind == wire.SENDER and name == mach.MACH_PORT_DEAD
    assert found == ((b"", [Kind.SENDER, Kind.SENDER]) if dead_sender else None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"magic": 0}, {"version": 0}, {"version": 2}, {"flags": 1}, {"flags": 2}, {"count": 1},
        {"count": 2**32 - 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_header(wrong: dict[str, int]) -> None:
    forged = Forged()
    assert claimed(forged.bytes(padded(forged, ours([], 4, **wrong), b"data")), forged) is None


@pytest.mark.parametrize("length", [0, 3, 5, 8, 2**32, 2**64 - 1])
def test_a_wrong_length(length: int) -> None:
    forged = Forged()
    if length == 3:
        expected: Any = (b"dat", [])  # the fourth byte is padding
    else:
        expected = None
    assert claimed(forged.bytes(padded(forged, ours([], length), b"data")), forged) == expected


def test_strange_descriptors_and_headers() -> None:
    for make in (
        lambda f: f.reply(17),
        lambda f: f.reply(18),
        lambda f: f.guarded(),
        lambda f: f.array(5, 17),
        lambda f: f.array(3, 16),
        lambda f: f.region(100, mach.MACH_MSG_OOL_VOLATILE_DESCRIPTOR),
        lambda f: (f.region(10), f.region(10)),
        lambda f: (f.region(10), f.right(17)),
        lambda f: f.region(0),
    ):
        for flags in (0, wire.OUT_OF_LINE):
            forged = Forged()
            make(forged)
            rest = padded(forged, ours([(1, 0)], 10, flags=flags), b"x" * 10 * (not flags))
            assert claimed(forged.bytes(rest), forged) is None


@pytest.mark.parametrize("id", [0, mach.MACH_NOTIFY_NO_SENDERS, wire.NUDGE_ID, wire.HELLO_ID])
def test_ids_of_others(id: int) -> None:
    """A peer's message with the id of a notification is no notification."""
    forged = Forged()
    forged.right(17)
    assert not wire.is_note(forged.bits)
    rest = padded(forged, ours([(1, 0)], 0), b"")
    assert claimed(forged.bytes(rest, id), forged) is None


@pytest.mark.parametrize("length", range(0, 200, 4))
def test_cut_short(length: int) -> None:
    """The descriptors are whole, which the kernel ensures, and nothing else need be."""
    forged = Forged()
    forged.right(17)
    forged.right(16)
    rest = padded(forged, ours([(1, 0), (2, 0)], 100), b"x" * 100)[:length]
    whole = length >= len(padded(forged, ours([(1, 0), (2, 0)], 100), b"x" * 100))
    assert (claimed(forged.bytes(rest), forged) is not None) == whole


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_anything(data: st.DataObject) -> None:
    """Any descriptors, any bytes after them: a message or DecodeError, and nothing leaks."""
    forged = Forged()
    choice = st.sampled_from(["send", "receive", "once", "region", "array", "guarded", "dead"])
    for part in data.draw(st.lists(choice, max_size=5)):
        if part == "region":
            forged.region(data.draw(st.integers(0, 100)))
        elif part == "array":
            forged.array(data.draw(st.integers(0, 3)), 17)
        elif part == "guarded":
            forged.guarded()
        elif part == "dead":
            forged.right(17, mach.MACH_PORT_DEAD)
        else:
            forged.right({"send": 17, "receive": 16, "once": 18}[part])
    if data.draw(st.booleans()):
        forged.reply(data.draw(st.sampled_from([17, 18])))
    records = data.draw(
        st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 4096, 2**64 - 1])), max_size=5)
    )
    payload = data.draw(st.binary(max_size=40))
    length = data.draw(st.sampled_from([len(payload), 0, 100, 2**40]))
    proper = ours(records, length, flags=data.draw(st.integers(0, 2)))
    rest = bytearray(padded(forged, proper, payload))
    for place in data.draw(st.lists(st.integers(0, len(rest) - 1), max_size=3)):
        rest[place] = data.draw(st.integers(0, 255))
    claimed(forged.bytes(bytes(rest)), forged)
