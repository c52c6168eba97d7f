"""Senders that overflow and are killed, and receivers that move while a log is half read."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

from faults import Outcome, fault
from ipc_core import Disconnected
from ipc_core.messages.message import copied
from ipc_core.plugins import choice

SENDERS = 4
KILLED = 3
EACH = 1500
HANDS = 6


class Counters:
    """Numbers that survive the forks that write them."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, 8 * count)

    def __getitem__(self, index: int) -> int:
        found: int = struct.unpack_from("<q", self._memory, 8 * index)[0]
        return found

    def __setitem__(self, index: int, value: int) -> None:
        struct.pack_into("<q", self._memory, 8 * index, value)


def forked(work: Callable[[], None]) -> int:
    """Run a function in a fork, which ends without clean-up."""
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def _payload(sender: int, number: int) -> bytes:
    return b"%d %d " % (sender, number) + bytes(number * 997 % 3001 if number % 50 else 70_000)


@fault("senders killed at random while all overflow one channel", runs=100, within=5)
def senders_killed_while_overflowing(outcome: Outcome) -> None:
    unix = choice.backend("unix")
    chance = random.Random(1)
    for _ in range(outcome.runs):
        tx: Any
        rx: Any
        tx, rx = unix.channel()
        sub_tx, sub_rx = unix.channel()
        accepted, seen = Counters(SENDERS), [0] * SENDERS

        def send(me: int, tx: Any = tx, sub_tx: Any = sub_tx, accepted: Any = accepted) -> None:
            for number in range(EACH):
                tx.send(_payload(me, number), [sub_tx] if number % 100 == 99 else ())
                accepted[me] = number + 1

        pids = [forked(lambda me=me: send(me)) for me in range(SENDERS)]  # type: ignore[misc]
        tx.close()
        sub_tx.close()
        read_early = chance.random() < 0.5
        try:
            for pid in pids[:KILLED]:
                time.sleep(chance.uniform(0, 0.01))
                os.kill(pid, signal.SIGKILL)
                if read_early:
                    for _ in range(chance.randrange(400)):
                        _read(rx, seen)
            while True:
                with outcome.waiting():
                    _read(rx, seen)
        except Disconnected:
            pass
        with outcome.waiting():
            assert _ended(sub_rx)
        rx.close()
        sub_rx.close()
        for sender, pid in enumerate(pids):
            status = os.waitpid(pid, 0)[1]
            assert sender < KILLED or status == 0, "a sender that nobody killed failed"
            outcome.lost += max(0, accepted[sender] - seen[sender])
        assert seen[KILLED:] == [EACH] * (SENDERS - KILLED)


def _read(rx: Any, seen: list[int]) -> None:
    payload, attachments = rx.recv(5)
    data = copied(payload)
    for attachment in attachments:
        attachment.close()
    sender, number = map(int, data.split(b" ", 2)[:2])
    assert number == seen[sender], "out of order, or twice"
    assert data == _payload(sender, number)
    seen[sender] += 1


def _ended(rx: Any) -> bool:
    try:
        rx.recv(5)
    except Disconnected:
        return True
    return False


@fault("a receiver that moves between processes with its log half read", runs=100, within=5)
def receivers_moved_with_a_log(outcome: Outcome) -> None:
    unix = choice.backend("unix")
    chance = random.Random(2)
    for _ in range(outcome.runs):
        tx: Any
        moved: Any
        tx, moved = unix.channel()
        there: Any = unix.channel()
        back: Any = unix.channel()
        takes = [chance.randrange(300) for _ in range(HANDS)]

        def relay(there: Any = there, back: Any = back, takes: list[int] = takes) -> None:
            for count in takes:
                data, (receiver,) = there[1].recv(10)
                following = _numbers(receiver, int(data), count)
                back[0].send(b"%d" % following, [receiver])

        pid = forked(relay)
        sent = following = 0
        for count in takes:
            for _ in range(700):
                sub_tx, sub_rx = unix.channel()
                sub_tx.send(b"%d" % sent)
                sub_tx.close()
                tx.send(b"%d" % sent, [sub_rx] if sent % 90 == 89 else ())
                sub_rx.close()
                sent += 1
            following = _numbers(moved, following, count)
            there[0].send(b"%d" % following, [moved])
            with outcome.waiting():
                data, (moved,) = back[1].recv(5)
            following = int(bytes(data))
        following = _numbers(moved, following, sent - following)
        outcome.lost += sent - following
        tx.close()
        assert _ended(moved)
        for end in (moved, *there, *back):
            end.close()
        assert os.waitpid(pid, 0)[1] == 0


def _numbers(receiver: Any, following: int, count: int) -> int:
    """Read that many messages; return the number of the next."""
    for _ in range(count):
        data, attachments = receiver.recv(5)
        assert int(data) == following
        for inner in attachments:
            assert inner.recv(5)[0] == data
            inner.close()
        following += 1
    return following
