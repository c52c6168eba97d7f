"""A process that makes, uses, passes on and drops ends of channels at random."""

from __future__ import annotations

import os
import queue
import random
import struct
import time
from collections.abc import Sequence
from typing import Any

import ipc_core as ipc
from soak.actions import ACTIONS, MIB, MOST_HELD, chat, drop_sender
from soak.ledger import CLOSED, DRAINED, Ledger
from soak.level import differences, private_memory, warm_up

DRAIN_SECONDS = float(os.environ.get("SOAK_DRAIN_SECONDS", "40"))
MEMORY_ALLOWED = 48 * MIB
SIZES = (0, 0, 10, 100, 1000, 7_990, 9_000, 40_000, 200_000, MIB, 5 * MIB)
_HEAD = struct.Struct("<QQ")


class Violation(Exception):
    """A violation of an invariant."""


class Talker:
    """A sender of this process, with its flow."""

    def __init__(self, tx: Any, channel: int, flow: int) -> None:
        self.tx = tx
        self.channel = channel
        self.flow = flow


def body(number: int, size: int) -> bytes:
    return bytes((number % 251,)) * size


class Worker:
    def __init__(self, process: int, seed: int, seconds: float, ledger: Ledger) -> None:
        self.process = process
        self.random = random.Random(seed)
        self.ledger = ledger
        self.seconds = seconds
        self.started = time.monotonic()
        self.set = ipc.IpcReceiverSet()
        self.router = ipc.Router()
        self.routed: queue.Queue[Any] = queue.Queue()
        self.routes = 0
        self.members: dict[int, int] = {}
        self.direct: list[tuple[Any, int]] = []
        self.talkers: list[Talker] = []
        self.peers: dict[int, Talker] = {}
        self.servers: list[tuple[ipc.IpcOneShotServer[Any], int, float]] = []
        self.stopping = False

    # Messages that arrive.

    def take(self, message: Any) -> None:
        """Check a message against the ledger, and take over its attachments."""
        extras: Sequence[Any]
        if isinstance(message, bytes):
            flow, number = _HEAD.unpack_from(message)
            content, extras = message[_HEAD.size :], ()
        else:
            flow, number, content, extras = message
        if number != self.ledger.received(flow) + 1:
            raise Violation(f"flow {flow}: {number} after {self.ledger.received(flow)}")
        if content != body(number, len(content)):
            raise Violation(f"flow {flow}: message {number} has a wrong content")
        for kind, thing, *details in extras:
            getattr(self, f"take_{kind}")(thing, *details)
        self.ledger.note_received(flow, number)

    def take_sender(self, tx: Any, channel: int) -> None:
        if self.stopping or len(self.talkers) >= MOST_HELD or not self.has_room():
            tx.close()
        else:
            self.talk(tx, channel)

    def take_receiver(self, rx: Any, channel: int) -> None:
        self.ledger.hold(channel, self.process)
        self.listen(rx, channel)

    def take_region(self, region: ipc.IpcSharedMemory, byte: int, size: int) -> None:
        with region:
            if bytes(region) != bytes((byte,)) * size:
                raise Violation("a region has a wrong content")

    def take_server(self, name: str, channel: int) -> None:
        if self.stopping or not self.has_room():
            return
        try:
            tx = ipc.IpcSender[Any].connect(name)
        except ipc.IpcIOError:
            return  # closed, or its process was killed
        self.say(self.talk(tx, channel), self.size(), [])

    def listen(self, rx: Any, channel: int) -> None:
        way = self.random.choice(("set", "set", "router", "direct"))
        if way == "direct":
            self.direct.append((rx, channel))
        elif way == "set":
            self.members[self.set.add(rx)] = channel
        else:
            self.routes += 1
            put = self.routed.put
            self.router.add_route(rx, put, lambda: put(channel))

    def hear(self) -> None:
        """Receive in every way, a little each."""
        for _ in range(min(64, self.routed.qsize())):
            message = self.routed.get()
            if isinstance(message, int):
                self.routes -= 1
                self.ledger.end(message, DRAINED)
            else:
                self.take(message)
        if self.members:
            try:
                results = self.set.try_select_timeout(0.001 if self.stopping else 0)
            except ipc.Empty:
                results = []
            for result in results:
                if isinstance(result, ipc.ChannelClosed):
                    self.ledger.end(self.members.pop(result.id), DRAINED)
                else:
                    self.take(result.message.to())
        for rx, channel in tuple(self.direct):
            try:
                for message in rx.recv_many(16, 0):
                    self.take(message)
            except ipc.Empty:
                pass
            except ipc.Disconnected:
                self.direct.remove((rx, channel))
                rx.close()
                self.ledger.end(channel, DRAINED)
        for served in tuple(self.servers):
            self.meet(*served)

    def meet(self, server: ipc.IpcOneShotServer[Any], channel: int, until: float) -> None:
        try:
            rx, message = server.accept(0)
        except ipc.Empty:
            if not self.stopping and time.monotonic() < until:
                return
            self.ledger.end(channel, CLOSED)
        except ipc.Disconnected:
            self.ledger.end(channel, DRAINED)
        else:
            self.take(message)
            self.listen(rx, channel)
        server.close()
        self.servers.remove((server, channel, until))

    # Actions to choose from.

    def has_room(self) -> bool:
        return self.ledger.has_room(
            self.process, 0.1 + 0.9 * (time.monotonic() - self.started) / self.seconds
        )

    def size(self) -> int:
        return self.random.choice(SIZES)

    def talk(self, tx: Any, channel: int) -> Talker:
        talker = Talker(tx, channel, self.ledger.new_flow(self.process, channel))
        self.talkers.append(talker)
        return talker

    def say(self, talker: Talker, size: int, extras: list[Any]) -> bool:
        """Send; return whether it was accepted."""
        flow = talker.flow
        number = self.ledger.sent(flow) + 1
        shipped = [extra[2] for extra in extras if extra[0] == "receiver"]
        try:
            if isinstance(talker.tx, ipc.IpcBytesSender):
                talker.tx.send(_HEAD.pack(flow, number) + body(number, size))
            else:
                for channel in shipped:
                    self.ledger.ship(channel, flow, number)
                talker.tx.send((flow, number, body(number, size), extras))
        except ipc.BrokenChannelError:
            for channel in shipped:
                self.ledger.hold(channel, self.process)
            self.forget(talker)
            return False
        self.ledger.note_sent(flow, number)
        return True

    def forget(self, talker: Talker) -> None:
        talker.tx.close()
        if talker in self.talkers:
            self.talkers.remove(talker)
        for peer, inbox in tuple(self.peers.items()):
            if inbox is talker:
                del self.peers[peer]

    def act(self) -> None:
        if self.has_room():
            self.random.choice(ACTIONS)(self)
        else:
            chat(self)
        if len(self.talkers) >= MOST_HELD:
            drop_sender(self)

    # The course of a worker's life.

    def obey(self, orders: ipc.IpcReceiver[Any]) -> None:
        try:
            kind, process, *details = orders.try_recv()
        except ipc.Empty:
            return
        if kind == "peer":
            tx, channel = details
            self.peers[process] = Talker(tx, channel, self.ledger.new_flow(self.process, channel))
        elif kind == "gone" and process in self.peers:
            self.forget(self.peers[process])
        elif kind == "stop":
            self.stopping = True
            for talker in (*self.talkers, *self.peers.values()):
                self.forget(talker)

    def run(self, orders: ipc.IpcReceiver[Any]) -> list[str]:
        """Act until told to stop, then receive all that is left; return the violations."""
        early = 0
        while not self.stopping:
            self.obey(orders)
            if not self.stopping:
                self.hear()
                self.act()
            if time.monotonic() - self.started < self.seconds / 2:
                early = max(early, private_memory())
        until = time.monotonic() + DRAIN_SECONDS
        while self.members or self.direct or self.routes or self.servers:
            if time.monotonic() > until:
                left = sorted([*self.members.values(), *(row for _, row in self.direct)])
                return [f"not disconnected after {DRAIN_SECONDS:g} s: channels {left}, "
                        f"{self.routes} routes"]  # fmt: skip
            self.hear()
        self.set.close()
        self.router.shutdown()
        grown = private_memory() - early
        lived = time.monotonic() - self.started
        if lived > 0.75 * self.seconds and grown > MEMORY_ALLOWED:
            return [f"memory grew by {grown >> 20} MiB in the second half"]
        return []


def make_a_server() -> None:
    """Make a server, which also removes the folders that killed servers left."""
    ipc.IpcOneShotServer[Any]().close()


def main(name: str) -> None:
    """Meet the conductor, work, and report violations."""
    before = warm_up()
    reports = ipc.IpcSender[Any].connect(name)
    orders_tx, orders = ipc.channel()
    inbox_tx, inbox = ipc.channel()
    reports.send(orders_tx)
    orders_tx.close()
    process, seed, seconds, region, rows = orders.recv()
    ledger = Ledger(region, rows)
    worker = Worker(process, seed, seconds, ledger)
    channel = ledger.new_channel(process)
    worker.members[worker.set.add(inbox)] = channel
    reports.send((inbox_tx, channel))
    inbox_tx.close()
    try:
        wrong = worker.run(orders)
    except BaseException as error:
        import traceback

        reports.send([f"{error!r}: {traceback.format_exc()}"])
        raise
    del worker
    ledger.close()
    orders.close()
    before["descriptors"] += 1  # to report
    reports.send(wrong or differences(before))
    reports.close()
