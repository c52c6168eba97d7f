"""A record of messages sent, in memory that outlives every process that writes it.

Each channel has a row, and each sender in each process has one: a flow. Every word is written by
one process at a time, so the words of a killed process stay true, up to the message that it was
sending.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipc_core import IpcSharedMemory

_WORDS = 6
_CHANNEL, _FLOW = 1, 2
_LIVE, DRAINED, CLOSED = 0, 1, 2
_FOR_PEERS = 200
"""Rows of a block that are left for the flows to other processes, which nobody asks for."""


class Ledger:
    """Rows in a shared region. Each process makes its own, in a block of its own."""

    def __init__(self, region: IpcSharedMemory, rows: int) -> None:
        self.region = region
        self.rows = rows
        self._words = region.buffer_mut().cast("Q")

    @classmethod
    def new(cls, processes: int, rows: int) -> Ledger:
        return cls(IpcSharedMemory.from_byte(0, processes * rows * _WORDS * 8), rows)

    def close(self) -> None:
        self._words.release()
        self.region.close()

    def has_room(self, process: int, fraction: float) -> bool:
        """Whether a process has used less than a fraction of its rows, at most all."""
        rows = (self.rows - _FOR_PEERS) * min(fraction, 1)
        return self._words[process * self.rows * _WORDS] < rows - 2

    def _new(self, process: int, *words: int) -> int:
        first = process * self.rows
        used = self._words[first * _WORDS] + 1
        if used >= self.rows:
            raise RuntimeError(f"process {process} has used all of its {self.rows} rows")
        for place, word in enumerate(words):
            self._words[(first + used) * _WORDS + place] = word
        self._words[first * _WORDS] = used
        return first + used

    def new_channel(self, process: int) -> int:
        return self._new(process, _CHANNEL, _LIVE, process + 1, 0, 0)

    def new_flow(self, process: int, channel: int) -> int:
        return self._new(process, _FLOW, channel, 0, 0)

    def end(self, channel: int, how: int) -> None:
        """Note that everything was received (DRAINED), or that nobody will (CLOSED)."""
        self._words[channel * _WORDS + 1] = how

    def hold(self, channel: int, process: int) -> None:
        """Note that a process has the receiver."""
        self._words[channel * _WORDS + 2] = process + 1
        self._words[channel * _WORDS + 3] = 0

    def ship(self, channel: int, flow: int, number: int) -> None:
        """Note that the receiver travels in a flow's message of that number."""
        self._words[channel * _WORDS + 4] = number
        self._words[channel * _WORDS + 3] = flow

    def sent(self, flow: int) -> int:
        return self._words[flow * _WORDS + 2]

    def note_sent(self, flow: int, number: int) -> None:
        self._words[flow * _WORDS + 2] = number

    def received(self, flow: int) -> int:
        return self._words[flow * _WORDS + 3]

    def note_received(self, flow: int, number: int) -> None:
        self._words[flow * _WORDS + 3] = number

    def used(self) -> Iterator[int]:
        for first in range(0, len(self._words) // _WORDS, self.rows):
            yield from range(first + 1, first + 1 + self._words[first * _WORDS])


class Account:
    """The sums of a ledger once every process has ended."""

    def __init__(self, ledger: Ledger, killed: set[int]) -> None:
        self._ledger = ledger
        self._words = ledger._words
        self._killed = killed
        self.channels = self.sent = self.received = self.lost = 0
        self.violations: list[str] = []
        for row in ledger.used():
            if self._words[row * _WORDS] == _CHANNEL:
                self._add_channel(row)
            else:
                self._add_flow(row)

    def _add_channel(self, row: int) -> None:
        self.channels += 1
        if not self._words[row * _WORDS + 1] and not self._died_with_its_receiver(row):
            self.violations.append(
                f"channel {row} was never disconnected: {self._whereabouts(row)}"
            )

    def _add_flow(self, row: int) -> None:
        _, channel, sent, received, *_ = self._words[row * _WORDS : (row + 1) * _WORDS]
        if received == sent + 1 and self._sender_was_killed(row):
            sent = received  # killed before it could note the accepted message
        lost = sent - received
        self.sent += sent
        self.received += received
        self.lost += lost
        if lost < 0 or (lost and self._words[channel * _WORDS + 1] == DRAINED):
            self.violations.append(
                f"flow {row} of channel {channel}: {sent} sent, {received} received"
            )

    def _died_with_its_receiver(self, channel: int) -> bool:
        """Whether a killed process had the receiver, or would have had it, or was sending it."""
        _, _, holder, flow, number, _ = self._words[channel * _WORDS : (channel + 1) * _WORDS]
        if not flow:
            return holder - 1 in self._killed
        if number > self._ledger.sent(flow) and self._sender_was_killed(flow):
            return True
        carrier = self._words[flow * _WORDS + 1]
        return not self._words[carrier * _WORDS + 1] and self._died_with_its_receiver(carrier)

    def _whereabouts(self, channel: int) -> str:
        """Describe the last holder of the receiver: a process, or a message of a flow."""
        _, _, holder, flow, number, _ = self._words[channel * _WORDS : (channel + 1) * _WORDS]
        rows = self._ledger.rows
        text = f"made by process {channel // rows}, last held by {holder - 1}"
        if flow:
            carrier = self._words[flow * _WORDS + 1]
            text += (
                f", in message {number} of flow {flow}, of which {self._ledger.sent(flow)} were "
                f"sent and {self._ledger.received(flow)} received, over channel {carrier}"
            )
        return f"{text}; killed: {sorted(self._killed)}"

    def _sender_was_killed(self, flow: int) -> bool:
        return flow // self._ledger.rows in self._killed
