"""Programs of the tests' child processes. Each meets the test at a one-shot server."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

import ipc_core
from ipc_core.testing.bag import Bag
from ipc_core.testing.level import descriptors

if TYPE_CHECKING:
    from ipc_core.testing.children import Children

Talk = tuple[ipc_core.IpcSender[Any], ipc_core.IpcReceiver[Any]]


def meet(bag: Bag, children: Children, program: Any) -> tuple[Any, Talk]:
    """Start a program that begins with `_meet`; return the child and a channel each way."""
    server, name = bag.server()
    child = children.start(program, name)
    rx, tx = server.accept(30)
    return child, (bag.keep(tx), bag.keep(rx))


def _meet(bag: Bag, name: str) -> Talk:
    to_parent = bag.connect(name)
    to_child, from_parent = bag.channel()
    to_parent.send(to_child)
    to_child.close()
    return to_parent, from_parent


def say_test_message(name: str) -> None:
    with ipc_core.IpcSender[str].connect(name) as tx:
        tx.send("test message")


def do_not_connect() -> None:
    sys.exit(3)


def answer_on_second_server(first: str, second: str) -> None:
    """Give a sender to the first server; send the reply to the second."""
    with Bag() as bag:
        tx, rx = bag.channel()
        bag.connect(first).send(tx)
        answer = rx.recv()
        bag.connect(second).send(answer)


def hold_sender(name: str) -> None:
    """Keep a sender until told to go."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        bag.recv(from_parent)
        to_parent.send("held")
        from_parent.recv()


def use_sender(name: str) -> None:
    """Send once with the sender received."""
    with Bag() as bag:
        _, from_parent = _meet(bag, name)
        bag.recv(from_parent).send("from the child")


def empty_receiver(name: str) -> None:
    """Send back the messages of a received receiver until it is disconnected."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        to_parent.send(list(bag.recv(from_parent)))


def write_region(name: str) -> None:
    """Change the first byte of a region; then report the last byte."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        region = bag.recv(from_parent)
        region.buffer_mut()[0] = 1
        to_parent.send("written")
        from_parent.recv()
        to_parent.send(region.buffer[-1])


def make_region(name: str) -> None:
    """Send a region and exit."""
    with Bag() as bag:
        to_parent, _ = _meet(bag, name)
        to_parent.send(bag.region(b"made by a process that is gone"))


def read_region(name: str) -> None:
    """Send back the bytes of a region."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        to_parent.send(bag.recv(from_parent).take())


def fail(name: str) -> None:
    """Connect, and exit without a message."""
    ipc_core.IpcSender[Any].connect(name).close()
    sys.exit(3)


def count_descriptors(name: str) -> None:
    """Report the number of descriptors before and after reading messages until None."""
    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        to_parent.send(descriptors())
        number = 0
        while from_parent.recv() is not None:
            number += 1
            if number % 100 == 0:
                to_parent.send("read")
        gc.collect()
        to_parent.send(descriptors())


def answer_each(name: str) -> None:
    """Receive bytes and senders; tell the length, and send each sender its number."""
    with Bag() as bag:
        bag.allow_descriptors(2500)
        to_parent, from_parent = _meet(bag, name)
        data, senders = from_parent.recv()
        to_parent.send(len(data))
        for number, sender in enumerate(senders):
            bag.keep(sender).send(number)


def run_out_of_memory(name: str) -> None:
    """Fail to send more than there is memory for, then send its attachments alone."""
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    with Bag() as bag:
        to_parent, from_parent = _meet(bag, name)
        moved = bag.recv(from_parent)
        large = "\N{DEGREE SIGN}" * (1 << 27)  # twice as large when it is encoded
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 27), limits[1]))
        try:
            to_parent.send([to_parent, moved, large])
        except (ipc_core.EncodeError, MemoryError, ipc_core.IpcIOError):
            resource.setrlimit(resource.RLIMIT_AS, limits)
            to_parent.send("next")
        to_parent.send(moved)


def use_the_router() -> None:
    """Route to the process's own router, and end while it lives."""
    tx, rx = ipc_core.channel()
    found = ipc_core.ROUTER.route_to_queue(rx)
    tx.send("through the router")
    assert found.get(timeout=20) == "through the router"
    assert ipc_core.ROUTER is ipc_core.ROUTER
