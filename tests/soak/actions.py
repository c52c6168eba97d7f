"""The actions of a process, chosen at random."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipc_core as ipc
from soak.ledger import CLOSED

if TYPE_CHECKING:
    from soak.worker import Talker, Worker

MOST_HELD = 40
"""Senders that a process has at a time."""
MOST_UNREAD = 3000
SERVER_SECONDS = 5
MIB = 1 << 20


def make(worker: Worker) -> tuple[Talker, Any]:
    make: Callable[[], Any] = worker.random.choice((ipc.channel, ipc.channel, ipc.bytes_channel))
    tx, rx = make()
    return worker.talk(tx, worker.ledger.new_channel(worker.process)), rx


def create(worker: Worker) -> None:
    if len(worker.talkers) < MOST_HELD:
        talker, rx = make(worker)
        worker.listen(rx, talker.channel)


def chat(worker: Worker) -> None:
    if worker.talkers:
        talker = worker.random.choice(worker.talkers)
        count = worker.random.choice((1, 5, 20, 600))
        for _ in range(count):
            unread = worker.ledger.sent(talker.flow) - worker.ledger.received(talker.flow)
            size = worker.size() if count < 20 else 50
            if unread > MOST_UNREAD or not worker.say(talker, size, []):
                break


def fit_carriers(worker: Worker) -> list[Talker]:
    found = [talker for talker in (*worker.talkers, *worker.peers.values())
             if not isinstance(talker.tx, ipc.IpcBytesSender)]  # fmt: skip
    return [t for t in found if worker.ledger.sent(t.flow) - worker.ledger.received(t.flow) < 200]


def pass_sender(worker: Worker) -> None:
    carriers = fit_carriers(worker)
    if carriers and worker.talkers:
        carrier, passed = worker.random.choice(carriers), worker.random.choice(worker.talkers)
        worker.say(carrier, worker.size(), [("sender", passed.tx, passed.channel)])


def pass_clone(worker: Worker) -> None:
    carriers = fit_carriers(worker)
    if carriers and worker.talkers:
        passed = worker.random.choice(worker.talkers)
        clone = passed.tx.clone()
        worker.say(worker.random.choice(carriers), 0, [("sender", clone, passed.channel)])
        clone.close()


def pass_receiver(worker: Worker) -> None:
    inboxes = [inbox for inbox in worker.peers.values() if inbox in fit_carriers(worker)]
    if not inboxes:
        return
    if worker.direct and worker.random.random() < 0.5:
        rx, channel = worker.direct.pop(worker.random.randrange(len(worker.direct)))
    elif len(worker.members) > 1:
        id = worker.random.choice([id for id in worker.members if id])  # 0 is the inbox
        rx = worker.set.remove(id)
        channel = worker.members.pop(id)
    else:
        return
    if not worker.say(worker.random.choice(inboxes), 0, [("receiver", rx, channel)]):
        worker.listen(rx, channel)


def nest(worker: Worker) -> None:
    """Send a channel with messages in it, one of which has a sender of another in it."""
    inboxes = [inbox for inbox in worker.peers.values() if inbox in fit_carriers(worker)]
    if not inboxes:
        return
    talker, rx = make(worker)
    for number in range(worker.random.choice((3, 400))):
        worker.say(talker, number, [])
    if isinstance(talker.tx, ipc.IpcSender) and worker.talkers:
        inner = worker.random.choice(worker.talkers)
        worker.say(talker, 5, [("sender", inner.tx, inner.channel)])
    region = ipc.IpcSharedMemory.from_byte(7, 5000)
    extras = [("sender", talker.tx, talker.channel), ("receiver", rx, talker.channel),
              ("region", region, 7, 5000)]  # fmt: skip
    if not worker.say(worker.random.choice(inboxes), worker.size(), extras):
        worker.listen(rx, talker.channel)
    region.close()
    worker.forget(talker)


def share(worker: Worker) -> None:
    carriers = fit_carriers(worker)
    if carriers:
        byte, size = worker.random.randrange(256), worker.random.choice((0, 1, 5000, MIB))
        with ipc.IpcSharedMemory.from_byte(byte, size) as region:
            clone = region.clone()
            extras = [("region", each, byte, size) for each in (region, clone)]
            worker.say(worker.random.choice(carriers), 0, extras)
            clone.close()


def serve(worker: Worker) -> None:
    inboxes = [inbox for inbox in worker.peers.values() if inbox in fit_carriers(worker)]
    if inboxes:
        server, name = ipc.IpcOneShotServer[Any].new()
        channel = worker.ledger.new_channel(worker.process)
        worker.servers.append((server, channel, time.monotonic() + SERVER_SECONDS))
        worker.say(worker.random.choice(inboxes), 0, [("server", name, channel)])


def drop_sender(worker: Worker) -> None:
    if worker.talkers:
        worker.forget(worker.random.choice(worker.talkers))


def drop_receiver(worker: Worker) -> None:
    if len(worker.direct) > 3:
        rx, channel = worker.direct.pop(0)
        worker.ledger.end(channel, CLOSED)
        rx.close()


ACTIONS = (create, create, chat, chat, chat, pass_sender, pass_clone, pass_receiver, nest,
           share, serve, drop_sender, drop_sender, drop_receiver)  # fmt: skip
