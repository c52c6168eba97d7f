"""Waits for many channels, against `multiprocessing.connection.wait` on a list of pipes."""

from __future__ import annotations

import multiprocessing
import resource
import time
from functools import partial
from multiprocessing.connection import Connection, wait

from interleave import Work, main

from ipc_core import ChannelClosed, IpcReceiverSet, MessageReceived, channel

# The number of channels with a message, and the number of channels.
ACTIVE = [
    (1, 1), (1, 5), (2, 5), (5, 5), (1, 20), (5, 20), (20, 20), (1, 100), (5, 100), (100, 100),
    (1, 1000),
]  # fmt: skip


def our_selects(active: int, size: int, count: int) -> float:
    """Return the seconds to send to `active` of `size` channels and receive, `count` times."""
    with IpcReceiverSet.new() as receivers:
        senders = []
        for _ in range(size):
            sender, receiver = channel()
            senders.append(sender)
            receivers.add(receiver)
        started = time.perf_counter()
        for _ in range(count):
            for sender in senders[:active]:
                sender.send(None)
            received = 0
            while received < active:
                for result in receivers.select():
                    assert isinstance(result, MessageReceived)
                    result.message.to()
                    received += 1
            assert received == active
        taken = time.perf_counter() - started
        for sender in senders:
            sender.close()
    return taken


def their_waits(active: int, size: int, count: int) -> float:
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(size)]
    readers = [reader for reader, _ in pipes]
    started = time.perf_counter()
    for _ in range(count):
        for _, writer in pipes[:active]:
            writer.send(None)
        received = 0
        while received < active:
            for reader in wait(readers):
                assert isinstance(reader, Connection)
                reader.recv()
                received += 1
        assert received == active
    taken = time.perf_counter() - started
    for pair in pipes:
        for end in pair:
            end.close()
    return taken


def closed_receivers(size: int) -> IpcReceiverSet:
    receivers = IpcReceiverSet.new()
    for _ in range(size):
        sender, receiver = channel()
        sender.close()
        receivers.add(receiver)
    return receivers


def closed_readers(size: int) -> list[Connection]:
    readers = []
    for _ in range(size):
        reader, writer = multiprocessing.Pipe(duplex=False)
        writer.close()
        readers.append(reader)
    return readers


def our_sets(size: int, count: int) -> float:
    """Make sets of receivers whose senders are gone, and close them."""
    started = time.perf_counter()
    for _ in range(count):
        closed_receivers(size).close()
    return time.perf_counter() - started


def their_lists(size: int, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        for reader in closed_readers(size):
            reader.close()
    return time.perf_counter() - started


def our_closures(size: int, count: int) -> float:
    """Make the same sets, and select until every receiver has left."""
    started = time.perf_counter()
    for _ in range(count):
        with closed_receivers(size) as receivers:
            closed = 0
            while closed < size:
                results = receivers.select()
                assert all(isinstance(result, ChannelClosed) for result in results)
                closed += len(results)
            assert closed == size
            assert not len(receivers)
    return time.perf_counter() - started


def their_closures(size: int, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        readers = closed_readers(size)
        while readers:
            for reader in wait(readers):
                assert isinstance(reader, Connection)
                try:
                    reader.recv()
                except EOFError:
                    readers.remove(reader)
                    reader.close()
    return time.perf_counter() - started


WORKS = [
    *(
        Work(f"receiver set, {active} of {size} with a message", partial(our_selects, active, size),
             partial(their_waits, active, size), max(50, 400 // (size + active)), "wait",
             0.005 if size == 1000 else None)
        for active, size in ACTIVE
    ),
    *(
        Work(f"receiver set of {size} made and closed", partial(our_sets, size),
             partial(their_lists, size), 300 // (10 + size), "pipes")
        for size in (0, 1, 10, 100)
    ),
    *(
        Work(f"receiver set of {size}, all disconnected", partial(our_closures, size),
             partial(their_closures, size), 300 // (10 + size), "wait")
        for size in (1, 10, 100)
    ),
]  # fmt: skip

if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    main(WORKS)
