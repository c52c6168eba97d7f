"""Messages of hostile peers, each with the outcome at its receiver."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from hostile_peer import (
    CONTINUED,
    GROW,
    PLAIN_RECORD,
    SEAL,
    SHRINK,
    STRANGE,
    WRITE,
    Peer,
    record,
    token,
)
from ipc_backend_unix import wire
from ipc_backend_unix.descriptors import send_packet
from ipc_backend_unix.peer_memory import SMALLEST_MAPPED as MAPPED

from ipc_core.spi import DecodeError

SENDER, RECEIVER, REGION = 1, 2, 3
BAD = [DecodeError]
GOOD = [b"payload"]
LARGE = bytes(64 + MAPPED)

Case = tuple[Callable[[Peer], Any], list[Any]]


def raw(data: bytes) -> Case:
    return (lambda peer: peer.packet(data)), BAD


def entries(*listed: tuple[int, int, int], fds: int = 0) -> Case:
    """A frame that lists these attachments, with so many sockets."""
    return (
        lambda peer: peer.frame(0, listed, b"payload", [peer.a_socket() for _ in range(fds)]),
        BAD,
    )


def counting(count: int, listed: int) -> Case:
    header = wire._HEADER.pack(wire.MAGIC, wire.VERSION, 0, count)
    return raw(header + wire._ENTRY.pack(REGION, 0, 0) * listed + b"end")


def header(magic: bytes = wire.MAGIC, version: int = wire.VERSION, flags: int = 0) -> Case:
    return raw(wire._HEADER.pack(magic, version, flags, 0) + b"payload")


def log(content: bytes, *expected: Any) -> Case:
    return (lambda peer: peer.switch(content)), list(expected)


def attached(kind: int, number: int, *makers: Callable[[Peer], int], good: bool = False) -> Case:
    return (
        lambda peer: peer.attach(kind, [make(peer) for make in makers], number),
        GOOD if good else BAD,
    )


def in_memory(size: int, content: int = 0, sparse: int = 0, seals: int = 0) -> Case:
    return (lambda peer: peer.in_memory(size, peer.memory(bytes(content), sparse, seals))), BAD


def queued(count: int, *packets: tuple[bytes, int]) -> Case:
    """A queue whose packets hold so many sockets."""

    def attack(peer: Peer) -> None:
        filled = [(head, [peer.a_socket() for _ in range(fds)]) for head, fds in packets]
        peer.queued(count, peer.queue(*filled))

    return attack, BAD


def empty_packet(peer: Peer) -> None:
    peer.packet(b"")


def empty_packet_with_descriptors(peer: Peer) -> None:
    peer.packet(b"", [peer.a_socket() for _ in range(253)])


def too_large(peer: Peer, fds: int = 0) -> None:
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992)
    peer.packet(wire.PLAIN + bytes(190_000), [peer.a_socket() for _ in range(fds)])


def shrunk(peer: Peer, size: int = 100_000) -> None:
    fd = peer.memory(bytes(64 + size))
    peer.in_memory(size, fd)
    os.ftruncate(fd, size // 2)


def reopened(peer: Peer, flags: int) -> None:
    """Memory that its receiver may only read, or that only looks like memory."""
    peer.in_memory(MAPPED, peer.own(os.open(f"/proc/self/fd/{peer.memory(LARGE)}", flags)))


def on_a_small_tmpfs(peer: Peer) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(LARGE)
        file.flush()
        peer.in_memory(MAPPED, peer.own(os.dup(file.fileno())))


def huge_pages(peer: Peer) -> None:
    """None of them can be had where none are set aside."""
    fd = peer.own(os.memfd_create("huge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | os.MFD_HUGETLB))
    os.ftruncate(fd, 2 << 20)
    peer.in_memory(MAPPED, fd)


def shrunk_region(peer: Peer) -> None:
    fd = peer.memory(bytes(100_000))
    peer.attach(REGION, [fd], 100_000)
    os.ftruncate(fd, 50_000)


def punched_log(peer: Peer) -> None:
    fd = peer.memory(PLAIN_RECORD, size=2**62)
    peer.frame(wire.SWITCH, fds=[fd])


def many_entries(peer: Peer) -> None:
    """Regions without memory, which cost their sender ten bytes each."""
    count = 1_000_000
    header = wire._HEADER.pack(wire.MAGIC, wire.VERSION, 0, count)
    peer.switch(record(header + wire._ENTRY.pack(REGION, 0, 0) * count))


def huge_queue(peer: Peer) -> None:
    """Thousands of links, each of which only leads to the next."""
    writer, first = peer.sockets()
    for _ in range(3000):
        later, reader = peer.sockets()
        send_packet(writer, [CONTINUED], [reader.fileno()])
        writer.close()
        reader.close()
        writer = later
    peer.queued(5, first.fileno())


def cycle(peer: Peer) -> None:
    """A queue that continues in itself, through a second one."""
    (writer, reader), (second, other) = peer.sockets(), peer.sockets()
    for _ in range(100):
        send_packet(writer, [CONTINUED], [other.fileno()])
        send_packet(second, [CONTINUED], [reader.fileno()])
    peer.queued(5, reader.fileno())


def dropped_for_ever(peer: Peer) -> None:
    """Descriptors of messages that never were, in front of the announced one."""
    packets = [(token(0), [peer.a_socket()])] * 150 + [(token(1), [peer.a_socket()])]
    body = wire.pack(0, [(SENDER, 1, 0)])
    peer.switch(record(body), peer.queue(*packets))


def no_queue(peer: Peer) -> None:
    peer.switch(record(wire.pack(0, [(SENDER, 1, 0)])) + PLAIN_RECORD)


def bad_continuation(peer: Peer) -> None:
    """A queue that leads nowhere, for two messages: the second finds it closed."""
    body = wire.pack(0, [(SENDER, 1, 0)])
    peer.switch(
        record(body) + record(body) + PLAIN_RECORD,
        peer.queue((CONTINUED, [STRANGE["eventfd"](peer)])),
    )


def own_receiver(peer: Peer, fd: int) -> None:
    peer.attach(RECEIVER, [fd])


def flags_with_descriptor(flags: int) -> Case:
    return (lambda peer: peer.frame(flags, fds=[peer.memory(PLAIN_RECORD)])), BAD


def memory(peer: Peer) -> int:
    return peer.memory(PLAIN_RECORD)


def region(size: int, sparse: int, seals: int = 0, good: bool = True) -> Case:
    return attached(REGION, size, lambda peer: peer.memory(bytes(64), sparse, seals), good=good)


CASES: dict[str, Case] = {
    **{f"garbage of {size} bytes": raw(os.urandom(size - 1) + b"?") for size in (1, 7, 8, 60_000)},
    "another protocol": raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "wrong magic": header(magic=b"\xa1\x7d"),
    **{f"version {version}": header(version=version) for version in (0, 2, 255)},
    **{f"flag {1 << bit}": header(flags=1 << bit) for bit in range(4, 8)},
    **{f"flags {flags} with memory": flags_with_descriptor(flags) for flags in (3, 5, 6, 7, 9)},
    "a switch ahead": (lambda peer: peer.frame(wire.SWITCH_AHEAD), []),
    "a switch ahead with descriptors": (
        lambda peer: peer.frame(wire.SWITCH_AHEAD, fds=[memory(peer)]),
        [],
    ),
    "a switch ahead with a payload": header(flags=wire.SWITCH_AHEAD),
    "a switch ahead of one that is none": (
        lambda peer: [
            peer.frame(wire.SWITCH_AHEAD),
            peer.frame(wire.SWITCH, fds=[peer.a_socket()]),
        ],
        BAD,
    ),
    "a switch without a log": header(flags=wire.SWITCH),
    "a switch without a log that was announced": (
        lambda peer: [peer.frame(wire.SWITCH_AHEAD), peer.frame(wire.SWITCH)],
        BAD,
    ),
    "a switch with a payload": (
        lambda peer: peer.frame(wire.SWITCH, payload=b"p", fds=[memory(peer)]),
        BAD,
    ),
    "a switch with attachments": (
        lambda peer: peer.frame(wire.SWITCH, [(SENDER, 1, 0)], fds=[memory(peer)]),
        BAD,
    ),
    "a switch with three descriptors": (
        lambda peer: peer.switch(PLAIN_RECORD, peer.a_socket(), peer.a_socket()),
        BAD,
    ),
    "an empty packet": (empty_packet, BAD),
    "an empty packet with descriptors": (empty_packet_with_descriptors, BAD),
    "a packet that is too large": (too_large, BAD),
    "a packet that is too large with descriptors": (lambda peer: too_large(peer, 9), BAD),
    "4 billion attachments": counting(2**32 - 1, 0),
    "one more attachment than listed": counting(6, 5),
    "half an entry": raw(wire.pack(0, [(REGION, 0, 0)])[:-5]),
    "a missing descriptor": entries((SENDER, 1, 0)),
    "an extra descriptor": entries((SENDER, 1, 0), fds=2),
    "all extra descriptors": entries(fds=253),
    "counts that do not sum up": entries((SENDER, 1, 0), (SENDER, 255, 0), fds=2),
    "many descriptors that are missing": entries(*[(RECEIVER, 255, 0)] * 1000, fds=3),
    **{f"kind {kind}": entries((kind, 1, 0), fds=1) for kind in (0, 4, 255)},
    "an unknown kind after good ones": entries((SENDER, 1, 0), (RECEIVER, 1, 0), (9, 0, 0), fds=2),
    "a sender without a socket": entries((SENDER, 0, 0)),
    "a sender with two sockets": entries((SENDER, 2, 0), fds=2),
    "a receiver without a socket": entries((RECEIVER, 0, 0)),
    "a receiver with four descriptors": entries((RECEIVER, 4, 0), fds=4),
    "a region without memory": entries((REGION, 0, 5)),
    "an empty region with memory": region(0, 0, good=False),
    "a region with two memories": attached(REGION, 9, memory, memory),
    "a region larger than its memory": region(65, 0, good=False),
    **{f"a region of {size} bytes": region(size, 0, good=False) for size in (2**63, 2**64 - 1)},
    "a sparse region": region(2**62, 2**62),
    "a region that is sealed": region(64, 0, SHRINK | GROW | WRITE),
    "a region that was shrunk": (shrunk_region, BAD),
    "a payload in no memory": (
        lambda peer: peer.frame(wire.IN_MEMORY, payload=wire.SIZE.pack(9)),
        BAD,
    ),
    "a payload without a size": (lambda peer: peer.frame(wire.IN_MEMORY, fds=[memory(peer)]), BAD),
    "a payload with half a size": (
        lambda peer: peer.frame(wire.IN_MEMORY, payload=b"1234", fds=[memory(peer)]),
        BAD,
    ),
    **{f"a payload of {size} bytes": in_memory(size, 100) for size in (37, 2**63, 2**64 - 1)},
    "a payload in sparse memory": in_memory(2**40, 100, sparse=2**41),
    "a payload in the hole of sparse memory": in_memory(100_000, 100, sparse=2**41),
    "a payload in sealed memory": (in_memory(36, 100, seals=15)[0], [bytes(36)]),
    "a payload that was shrunk": (shrunk, BAD),
    "a large payload that was shrunk": (lambda peer: shrunk(peer, MAPPED), BAD),
    "a large payload in sealed memory": (
        lambda peer: peer.in_memory(MAPPED, peer.memory(LARGE, seals=15)),
        [bytes(MAPPED)],
    ),
    "a large payload in memory that cannot be sealed": (
        lambda peer: peer.in_memory(MAPPED, peer.memory(LARGE, seals=SEAL)),
        [bytes(MAPPED)],
    ),
    "a large payload in memory to read": (
        lambda peer: reopened(peer, os.O_RDONLY),
        [bytes(MAPPED)],
    ),
    "a large payload in memory to write": (lambda peer: reopened(peer, os.O_WRONLY), BAD),
    "a large payload on a tmpfs": (on_a_small_tmpfs, [bytes(MAPPED)]),
    "a large payload in huge pages that are not there": (huge_pages, BAD),
    "no queue": (lambda peer: peer.frame(wire.QUEUED, [(SENDER, 1, 0)]), BAD),
    "two queues": (
        lambda peer: peer.frame(
            wire.QUEUED, [(SENDER, 1, 0)], fds=[peer.a_socket(), peer.a_socket()]
        ),
        BAD,
    ),
    "an empty queue": queued(1),
    "a queue with too few": queued(3, (token(0), 2)),
    "a queue with too many": queued(3, (token(0), 2), (token(0), 2)),
    "a queue for another message": queued(1, (token(1), 1)),
    "a queue without descriptors": queued(1, (token(0), 0), (token(0), 1)),
    "a queue with an empty packet": queued(1, (b"", 1)),
    "a queue with a short token": queued(1, (b"123", 1)),
    "a queue with a long token": queued(1, (token(0) + b"x", 1)),
    "a queue that continues nowhere": queued(1, (CONTINUED, 0)),
    "a queue that continues twice": queued(1, (CONTINUED, 2)),
    "a queue that continues for ever": (huge_queue, BAD),
    "a queue that is a cycle": (cycle, BAD),
    "descriptors of no message": (dropped_for_ever, BAD),
    "attachments without descriptors in a log": log(
        record(wire.pack(0, [(REGION, 0, 0)] * 3) + b"payload") + PLAIN_RECORD,
        *GOOD,
        b"in the log",
    ),
    "a log without a queue": (no_queue, [DecodeError, b"in the log"]),
    "a log whose queue leads nowhere": (bad_continuation, [*BAD, *BAD, b"in the log"]),
    "an empty log": log(b"", *BAD),
    "a log of 15 bytes": log(bytes(15), *BAD),
    "a log of zeros": log(bytes(16 * 20), *BAD),
    "zeros after a message": log(PLAIN_RECORD + bytes(16 * 20), b"in the log", *BAD),
    "a log that starts with a torn record": log(record(b"x", size=10), *BAD),
    "a torn record": log(PLAIN_RECORD + record(b"x", size=10), b"in the log"),
    **{
        f"a record of {size} bytes": log(PLAIN_RECORD + record(b"x", size=size), b"in the log")
        for size in (2**31, 2**63 - 1, 2**63, 2**64 - 16, 2**64 - 1)
    },
    "garbage in a log": log(record(b"garbage!") + PLAIN_RECORD, DecodeError, b"in the log"),
    "a switch in a log": log(
        record(wire.pack(wire.SWITCH, [])) + PLAIN_RECORD, *BAD, b"in the log"
    ),
    "a payload in memory in a log": log(
        record(wire.pack(wire.IN_MEMORY, []) + token(5)) + PLAIN_RECORD, *BAD, b"in the log"
    ),
    "4 billion attachments in a log": log(
        record(wire._HEADER.pack(wire.MAGIC, wire.VERSION, 0, 2**32 - 1)), *BAD
    ),
    "a million attachments in a log": (many_entries, BAD),
    "a log that is sparse": (punched_log, BAD),
    "a log with the size of an exabyte": (
        lambda peer: peer.frame(
            wire.SWITCH, fds=[peer.memory(record(b"", size=2**50), size=2**60)]
        ),
        BAD,
    ),
    "two logs": (
        lambda peer: [peer.switch(PLAIN_RECORD) for _ in range(2)],
        [b"in the log", b"in the log"],
    ),
    "a receiver that is far in its log": attached(
        RECEIVER, 2**63, Peer.a_socket, memory, good=True
    ),
    "a receiver with an empty log": attached(RECEIVER, 0, Peer.a_socket, Peer.memory, good=True),
    "a receiver with a log and no queue": attached(RECEIVER, 0, Peer.a_socket, memory, memory),
    "a receiver with a socket for a log": attached(
        RECEIVER, 0, Peer.a_socket, Peer.a_socket, Peer.a_socket
    ),
    "a receiver that is a sender": attached(RECEIVER, 7, Peer.a_socket, good=True),
}
