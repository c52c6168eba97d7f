"""The job: hand out files to workers, check their answers, redo the files of a dead worker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

from ipc_core.channels.receiver_set import IpcReceiverSet
from ipc_core.channels.selection import IpcSelectionResult, MessageReceived
from ipc_core.cli.demo.files import FileToHash, Unreadable, load
from ipc_core.cli.demo.pool import DemoError, Sent, Worker, ending
from ipc_core.spi.errors import BrokenChannelError

BYTES_IN_FLIGHT = 64 << 20
"""The most bytes of files that wait for an answer; a larger file travels alone."""
FILES_IN_FLIGHT = 256
"""The most requests that wait for an answer. Each holds two descriptors, which are scarce."""
WINDOW = 8
"""The most requests of one worker that wait for an answer."""


@dataclass
class WorkerReport:
    """The work of one worker. `seconds` run from the start of the job to its last answer."""

    pid: int
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    ending: str = ""
    """The way in which it ended; empty for a worker that lived to the end."""


@dataclass
class Report:
    """The outcome of a job. `skipped` holds path and reason, `mismatched` paths."""

    workers: list[WorkerReport]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    redone: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """The number of files that were hashed or skipped."""
        return sum(worker.files for worker in self.workers) + len(self.skipped)


class Job:
    """One run over some files by some workers, whose receivers are in `received`."""

    def __init__(
        self,
        files: Iterable[FileToHash],
        received: IpcReceiverSet,
        workers: list[Worker],
        *,
        kill_one: bool = False,
    ) -> None:
        self.report = Report([WorkerReport(worker.process.pid) for worker in workers])
        self._queue = deque(files)
        self._total = len(self._queue)
        self._received = received
        self._workers = workers
        self._by_id = {
            id: (worker, done)
            for worker, done in zip(workers, self.report.workers, strict=True)
            for id in (worker.life_id, worker.replies_id)
        }
        self._window = max(1, min(WINDOW, FILES_IN_FLIGHT // len(workers)))
        self._numbers = count()
        self._to_kill = kill_one
        self._killed: Worker | None = None
        self._start = 0.0

    def run(self, progress: Callable[[int], None] = lambda done: None) -> Report:
        """Hash every file; call `progress` from time to time with the number that are done.

        Raises DemoError when no worker is left, IpcError when the system refuses.
        """
        self._start = time.monotonic()
        while True:
            self._feed()
            if self._to_kill and self.report.done >= self._total // 2:
                self._kill_one()
            if self._finished():
                break
            if not len(self._received):
                raise DemoError(f"no worker is left for {len(self._queue)} files")
            for result in self._received.select():
                self._handle(result)
            progress(self.report.done)
        self.report.seconds = time.monotonic() - self._start
        return self.report

    def _finished(self) -> bool:
        """Whether every file is done, and the end of a killed worker was received."""
        outstanding = self._queue or any(worker.unanswered for worker in self._workers)
        return not outstanding and (self._killed is None or self._killed.gone)

    def _feed(self) -> None:
        """Send files while there is room, each to the worker with the fewest requests."""
        while self._queue:
            ready = [w for w in self._workers if w.usable and len(w.unanswered) < self._window]
            path, size = self._queue[0]
            in_flight = sum(s.size for w in self._workers for s in w.unanswered.values())
            if not ready or (in_flight and in_flight + size > BYTES_IN_FLIGHT):
                return
            self._queue.popleft()
            try:
                self._send(path, min(ready, key=lambda worker: len(worker.unanswered)))
            except Unreadable as error:
                self.report.skipped.append((path, str(error)))

    def _send(self, path: str, worker: Worker) -> None:
        """Send a file, or put it back if the worker is gone. Raises Unreadable."""
        with load(path) as region:
            number, size = next(self._numbers), len(region)
            digest = sha256(region.buffer).digest()
            try:
                worker.requests.send((number, region, worker.replies))
            except BrokenChannelError:
                worker.usable = False  # the set will report its end
                self._queue.appendleft(FileToHash(path, size))
            else:
                worker.unanswered[number] = Sent(path, size, digest)

    def _handle(self, result: IpcSelectionResult) -> None:
        """Count an answer, or one of the two channel ends that a dead worker leaves behind."""
        worker, done = self._by_id[result.id]
        if isinstance(result, MessageReceived):
            number, digest = result.message.to()
            path, size, expected = worker.unanswered.pop(number)
            if digest != expected:
                self.report.mismatched.append(path)
            done.files += 1
            done.bytes += size
            done.seconds = time.monotonic() - self._start
        elif result.id == worker.life_id:
            worker.retire()
            done.ending = "killed" if worker is self._killed else ending(worker.process)
        else:
            # Its replies come before this end: a file that it answered is not done twice.
            self.report.redone += len(worker.unanswered)
            self._queue.extendleft(FileToHash(s.path, s.size) for s in worker.unanswered.values())
            worker.unanswered.clear()

    def _kill_one(self) -> None:
        """Kill the busiest worker, if one has requests."""
        self._to_kill = False
        busy = [worker for worker in self._workers if worker.unanswered]
        if busy:
            self._killed = max(busy, key=lambda worker: len(worker.unanswered))
            self._killed.process.kill()
