"""A random program of operations on channels, checked against a model in plain Python.

from ipc_core.testing.machine import run_machine

def test_mine():
    run_machine("mine", max_examples=500)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import ipc_core
from ipc_core.plugins import choice
from ipc_core.spi import Capability

PATIENCE = 10
"""Seconds within which a disconnect must be seen."""


@dataclass(eq=False)
class Channel:
    """The model of a channel: its queue. Whether an end lives follows from its holders."""

    number: int
    queue: deque[Message] = field(default_factory=deque)


@dataclass(eq=False)
class Held:
    """An endpoint or region, and the model's idea of it."""

    kind: str  # "sender", "receiver" or "region"
    model: Any  # a Channel, or the region's bytearray
    real: Any


@dataclass(eq=False)
class Message:
    """A sent message: a payload, and the kinds and models of its attachments."""

    payload: object
    carried: list[tuple[str, Any]]


class ChannelMachine(RuleBasedStateMachine):
    """Channels, clones, transfers, sets, closes and shared memory on `backend`."""

    backend = ""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Held] = []
        self.members: dict[int, Channel] = {}
        self.count = 0
        self.regions = Capability.SHARED_MEMORY in choice.backend(self.backend).capabilities

    @initialize()
    def start(self) -> None:
        ipc_core.set_default_backend(self.backend)
        self.set = ipc_core.IpcReceiverSet()

    def teardown(self) -> None:
        for held in self.held:
            held.real.close()
        self.set.close()
        ipc_core.set_default_backend(None)

    # Knowledge of the model.

    def reachable(self) -> tuple[set[Channel], set[Channel]]:
        """The channels that have a sender, and those that have a receiver: in hand, in the set,
        or in a message that somebody can still receive."""
        senders = {h.model for h in self.held if h.kind == "sender"}
        receivers: set[Channel] = set()
        found = [h.model for h in self.held if h.kind == "receiver"] + list(self.members.values())
        while found:
            channel = found.pop()
            receivers.add(channel)
            for message in channel.queue:
                for kind, model in message.carried:
                    if kind == "sender":
                        senders.add(model)
                    elif kind == "receiver":
                        found.append(model)
        return senders, receivers

    def some(self, data: st.DataObject, kind: str) -> Held:
        return data.draw(st.sampled_from([h for h in self.held if h.kind == kind]), label=kind)

    def has(self, kind: str) -> bool:
        return any(h.kind == kind for h in self.held)

    # Operations.

    @rule()
    @precondition(lambda self: len(self.held) < 30)
    def make_channel(self) -> None:
        tx, rx = ipc_core.channel()
        channel = Channel(self.count)
        self.count += 1
        self.held += [Held("sender", channel, tx), Held("receiver", channel, rx)]

    @rule(size=st.integers(0, 5000), byte=st.integers(0, 255))
    @precondition(lambda self: self.regions and sum(h.kind == "region" for h in self.held) < 5)
    def make_region(self, size: int, byte: int) -> None:
        region = ipc_core.IpcSharedMemory.from_byte(byte, size)
        self.held.append(Held("region", bytearray([byte]) * size, region))

    @rule(data=st.data(), byte=st.integers(0, 255))
    @precondition(lambda self: self.has("region"))
    def write(self, data: st.DataObject, byte: int) -> None:
        region = self.some(data, "region")
        if region.model:
            at = data.draw(st.integers(0, len(region.model) - 1))
            region.model[at] = byte
            region.real.buffer_mut()[at] = byte

    @rule(data=st.data())
    @precondition(lambda self: self.has("sender") and len(self.held) < 60)
    def clone(self, data: st.DataObject) -> None:
        sender = self.some(data, "sender")
        self.held.append(Held("sender", sender.model, sender.real.clone()))

    @rule(
        data=st.data(),
        payload=st.one_of(
            st.integers(), st.text(max_size=5), st.binary(max_size=20).map(lambda b: b * 4000)
        ),
        repeat=st.sampled_from([1, 1, 1, 300]),
    )
    @precondition(lambda self: self.has("sender"))
    def send(self, data: st.DataObject, payload: object, repeat: int) -> None:
        sender = self.some(data, "sender")
        # An endpoint only travels over an older channel: rings of channels that hold each other
        # are freed at a time that nobody promises.
        able = [h for h in self.held if h.kind == "region" or h.model.number > sender.model.number]
        carried = (
            data.draw(st.lists(st.sampled_from(able), max_size=3, unique=True)) if able else []
        )
        broken = sender.model not in self.reachable()[1]
        for _ in range(1 if carried else repeat):
            message = (payload, [h.real for h in carried])
            if broken:
                with pytest.raises(ipc_core.BrokenChannelError):
                    sender.real.send(message)
                return
            sender.real.send(message)
            sender.model.queue.append(Message(payload, [(h.kind, h.model) for h in carried]))
        for gone in carried:
            if gone.kind == "receiver":
                with pytest.raises(ipc_core.MovedError):
                    gone.real.try_recv()
                self.held.remove(gone)

    @rule(data=st.data())
    @precondition(lambda self: self.has("receiver"))
    def receive(self, data: st.DataObject) -> None:
        receiver = self.some(data, "receiver")
        queue = receiver.model.queue
        if queue:
            self.arrived(receiver.real.try_recv_timeout(PATIENCE), queue.popleft())
        elif receiver.model in self.reachable()[0]:
            with pytest.raises(ipc_core.Empty):
                receiver.real.try_recv()
        else:
            with pytest.raises(ipc_core.Disconnected):
                receiver.real.try_recv_timeout(PATIENCE)

    def arrived(self, got: Any, expected: Message) -> None:
        payload, reals = got
        assert payload == expected.payload
        assert len(reals) == len(expected.carried)
        classes = {"sender": ipc_core.IpcSender, "receiver": ipc_core.IpcReceiver,
                   "region": ipc_core.IpcSharedMemory}  # fmt: skip
        for real, (kind, model) in zip(reals, expected.carried, strict=True):
            assert type(real) is classes[kind]
            self.held.append(Held(kind, model, real))

    @rule(data=st.data())
    @precondition(lambda self: self.held)
    def close(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.held))
        self.held.remove(gone)
        gone.real.close()
        with pytest.raises(ipc_core.ClosedError):
            bytes(gone.real) if gone.kind == "region" else gone.real.to_opaque()
        self.forget_unreachable()

    @rule(data=st.data())
    @precondition(lambda self: self.has("receiver"))
    def add(self, data: st.DataObject) -> None:
        receiver = self.some(data, "receiver")
        id = self.set.add(receiver.real)
        assert id not in self.members
        self.held.remove(receiver)
        self.members[id] = receiver.model

    @rule(data=st.data())
    @precondition(lambda self: self.members)
    def remove(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.members)))
        self.held.append(Held("receiver", self.members.pop(id), self.set.remove(id)))

    @rule()
    @precondition(lambda self: self.members)
    def select(self) -> None:
        senders, _ = self.reachable()
        due = {id for id, c in self.members.items() if c.queue or c not in senders}
        if not due:
            with pytest.raises(ipc_core.Empty):
                self.set.try_select()
            return
        for result in self.set.try_select_timeout(PATIENCE):
            assert result.id in due
            channel = self.members[result.id]
            if isinstance(result, ipc_core.ChannelClosed):
                assert not channel.queue
                del self.members[result.id]
            else:
                self.arrived(result.message.to(), channel.queue.popleft())

    def forget_unreachable(self) -> None:
        """A channel without a receiver drops its messages."""
        _, receivers = self.reachable()
        for held in self.held:
            if held.kind == "sender" and held.model not in receivers:
                held.model.queue.clear()

    @invariant()
    def regions_agree(self) -> None:
        for held in self.held:
            if held.kind == "region":
                assert held.real.buffer == held.model


def run_machine(
    backend: str,
    max_examples: int = 60,
    steps: int = 40,
    machine: type[ChannelMachine] = ChannelMachine,
) -> None:
    """Run random programs on a backend; raises AssertionError where it differs from the model."""
    of_backend: Any = type("Machine", (machine,), {"backend": backend})
    settings = hypothesis.settings(
        max_examples=max_examples, stateful_step_count=steps, deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    run: Any = run_state_machine_as_test  # typed in some versions of Hypothesis only
    run(of_backend, settings=settings)
