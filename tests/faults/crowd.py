"""Processes that share a channel: three that live and speak, and victims that a nursery forks."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import ipc_core
from ipc_core.testing.children import Children

if TYPE_CHECKING:
    from typing_extensions import Self

Talk = tuple[ipc_core.IpcSender[Any], ipc_core.IpcReceiver[Any]]

SPEAKERS = 3
VICTIM = SPEAKERS
MIB = 1 << 20
SIZES = (100, MIB, 50 * MIB)

_HEAD = struct.Struct("<QQQ")
_AHEAD = {SIZES[0]: 1 << 62, SIZES[1]: 50, SIZES[2]: 3}
_SPEAKER_AHEAD = 10
_PATTERN = bytes(range(251))


class Board:
    """Numbers in memory that all processes see: how many sends returned, and how many of those
    messages have arrived; the last number says that it is over."""

    def __init__(self, region: ipc_core.IpcSharedMemory) -> None:
        self.region = region
        self._numbers = region.buffer_mut().cast("Q")

    @classmethod
    def new(cls) -> Board:
        return cls(ipc_core.IpcSharedMemory.from_byte(0, (2 * VICTIM + 3) * 8))

    def returned(self, who: int) -> int:
        return self._numbers[who]

    def note_returned(self, who: int, count: int) -> None:
        self._numbers[who] = count

    def arrived(self, who: int) -> int:
        return self._numbers[VICTIM + 1 + who]

    def note_arrived(self, who: int, count: int) -> None:
        self._numbers[VICTIM + 1 + who] = count

    def end(self) -> None:
        self._numbers[-1] = 1

    @property
    def ended(self) -> bool:
        return self._numbers[-1] == 1

    def close(self) -> None:
        self._numbers.release()
        self.region.close()


class Parcel:
    """A message of one size that states its sender, run and number."""

    def __init__(self, size: int) -> None:
        self._bytes = bytearray((_PATTERN * (size // len(_PATTERN) + 1))[:size])
        self._tail = bytes(self._bytes[_HEAD.size :])

    def written(self, who: int, run: int, number: int) -> bytearray:
        _HEAD.pack_into(self._bytes, 0, who, run, number)
        return self._bytes

    def read(self, data: bytes) -> tuple[int, int, int]:
        assert len(data) == len(self._bytes)
        assert data.endswith(self._tail), "the message is not whole"
        who, run, number = _HEAD.unpack_from(data)
        return who, run, number


def meet(children: Children, program: Callable[..., None]) -> Talk:
    """Start a program that begins with `greet`: a channel to it and one from it."""
    server, name = ipc_core.IpcOneShotServer[Any].new()
    children.start(program, name)
    rx, tx = server.accept(30)
    return tx, rx


def greet(name: str) -> Talk:
    to_parent = ipc_core.IpcSender[Any].connect(name)
    tx, from_parent = ipc_core.channel()
    to_parent.send(tx)
    tx.close()
    return to_parent, from_parent


def speak(name: str) -> None:
    """Send numbered messages, a few ahead of those received, until the run is over."""
    _, orders = greet(name)
    who, tx, region = orders.recv()
    board = Board(region)
    number = 0
    while not board.ended:
        if number - board.arrived(who) >= _SPEAKER_AHEAD:
            time.sleep(0.001)
            continue
        tx.send(bytes(Parcel(_HEAD.size + number * 997 % 60_000).written(who, 0, number)))
        number += 1
        board.note_returned(who, number)


def send_and_die(name: str) -> None:
    """Fork a process that sends without a pause, and kill it; again for each order."""
    to_parent, orders = greet(name)
    tx, region = orders.recv()
    board = Board(region)
    parcels = {size: Parcel(size) for size in SIZES}
    for run, size, delay in orders:
        with _Fork(_send, tx, board, parcels[size], run, _AHEAD[size]) as victim:
            time.sleep(delay)
            victim.kill()
        to_parent.send(run)


def send_and_stop(name: str) -> None:
    """Fork a process that sends one large message, and stop it; continue it when told to."""
    to_parent, orders = greet(name)
    tx, _ = orders.recv()
    data = Parcel(SIZES[-1])
    for run, delay in orders:
        with _Fork(tx.send, data.written(VICTIM, run, 0)) as victim:
            time.sleep(delay)
            to_parent.send(victim.stop())
            orders.recv()
            victim.go_on()


def receive_and_die(name: str) -> None:
    """Fork a process that obeys orders with a receiver, and kill it; report the time."""
    to_parent, orders = greet(name)
    for rx, reads, delay in orders:
        with _Fork(_receive, rx, reads) as victim:
            rx.close()
            to_parent.send("holds it")
            time.sleep(delay)
            to_parent.send(victim.kill())


class _Fork:
    """A process without any clean-up at its end."""

    def __init__(self, work: Callable[..., object], *args: Any) -> None:
        self._pid = os.fork()
        if not self._pid:
            _work(work, args)

    def kill(self) -> float:
        """Kill the process; return the time."""
        now = time.monotonic()
        os.kill(self._pid, signal.SIGKILL)
        return now

    def stop(self) -> bool:
        """Stop the process; return whether it had not ended before."""
        os.kill(self._pid, signal.SIGSTOP)
        options = os.WEXITED | os.WSTOPPED | os.WNOWAIT
        state = os.waitid(os.P_PID, self._pid, options)
        return state is not None and state.si_code == os.CLD_STOPPED

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.waitpid(self._pid, 0)


def _work(work: Callable[..., object], args: tuple[Any, ...]) -> NoReturn:
    code = 1
    try:
        work(*args)
        code = 0
    finally:
        os._exit(code)


def _receive(rx: Any, reads: bool) -> None:
    while reads:
        rx.recv()
    signal.pause()


def _send(tx: Any, board: Board, parcel: Parcel, run: int, ahead: int) -> None:
    number = 0
    while True:
        if number - board.arrived(VICTIM) >= ahead:
            time.sleep(0.001)
            continue
        tx.send(parcel.written(VICTIM, run, number))
        number += 1
        board.note_returned(VICTIM, number)
