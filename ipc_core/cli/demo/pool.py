"""A pool of worker processes: started, connected by one-shot servers, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from ipc_core.channels.channel import channel
from ipc_core.channels.receiver import IpcReceiver
from ipc_core.channels.receiver_set import IpcReceiverSet
from ipc_core.channels.sender import IpcSender
from ipc_core.channels.server import IpcOneShotServer
from ipc_core.cli.demo.worker import Reply, Request
from ipc_core.plugins import choice
from ipc_core.spi import Capability
from ipc_core.spi.errors import Disconnected, Empty, NotSupportedError

START_LIMIT = 30.0  # seconds for a worker to connect
END_LIMIT = 10.0  # seconds for a worker to end once it has nothing more to do
NEEDED = Capability.CROSS_PROCESS | Capability.SHARED_MEMORY

# The workers' current folder, where `-m` looks first: it finds this very package, and no file of
# the user's folder can take the place of a module.
_IMPORT_ROOT = Path(__file__).parents[3]


class DemoError(Exception):
    """A job that cannot be finished; the text is the reason."""


class Sent(NamedTuple):
    """A file that a worker has not answered for: its path, size in bytes and expected digest."""

    path: str
    size: int
    digest: bytes


@dataclass
class Worker:
    """The parent's ends and records of one worker. The ids are of its receivers in the set."""

    process: subprocess.Popen[bytes]
    requests: IpcSender[Request]
    replies: IpcSender[Reply]
    """Copied into each request; held until the worker is gone."""
    life_id: int
    """The channel by which the worker introduced itself; it never sends on it again."""
    replies_id: int
    unanswered: dict[int, Sent] = field(default_factory=dict)
    usable: bool = True
    gone: bool = False

    def retire(self) -> None:
        """Record that it is gone. Its reply channel ends once every reply it sent is received."""
        self.usable, self.gone = False, True
        self.requests.close()
        self.replies.close()


def check_backend() -> None:
    """Raise NoBackendError or NotSupportedError if the chosen backend cannot do this job."""
    backend = choice.backend()
    missing = [need.name for need in Capability if need in NEEDED & ~backend.capabilities]
    if missing:
        raise NotSupportedError(
            f"the {backend.name} backend lacks {' and '.join(map(str, missing))};"
            f" the demo needs a backend that connects processes"
        )


@contextmanager
def pool(count: int) -> Iterator[tuple[IpcReceiverSet, list[Worker]]]:
    """Start `count` workers; yield the set with the receivers of all of them, and the workers.

    When the block is left they have ended: of themselves, or killed if it is left by an exception.
    To be used in the main thread. Raises DemoError for a worker that does not start.
    """
    with ExitStack() as stack:
        received = stack.enter_context(IpcReceiverSet.new())
        starting = []
        for _ in range(count):
            server, name = IpcOneShotServer[IpcSender[Request]].new()
            stack.enter_context(server)
            starting.append((server, stack.enter_context(_process(name))))
        workers = []
        for server, process in starting:
            life, requests = _accept(server, process)
            stack.enter_context(life)
            stack.enter_context(requests)
            pair: tuple[IpcSender[Reply], IpcReceiver[Reply]] = channel()
            replies, answers = stack.enter_context(pair[0]), stack.enter_context(pair[1])
            ids = received.add(life), received.add(answers)
            workers.append(Worker(process, requests, replies, *ids))
        yield received, workers


@contextmanager
def _process(server_name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker; when the block is left, wait for its end, or kill it."""
    command = [sys.executable, "-m", "ipc_core.cli.demo.worker", server_name]
    started = []
    try:
        with _ctrl_c_deferred():
            # A session of its own: Ctrl-C is for the parent, which ends its workers.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, cwd=_IMPORT_ROOT, start_new_session=True
            )
            started.append(process)
        yield process
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_LIMIT)
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def _ctrl_c_deferred() -> Iterator[None]:
    """Defer Ctrl-C while a process is started, so that no started process is forgotten."""
    deferred: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: deferred.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if deferred and callable(before):
        before(*deferred[0])


def _accept(
    server: IpcOneShotServer[IpcSender[Request]], process: subprocess.Popen[bytes]
) -> tuple[IpcReceiver[IpcSender[Request]], IpcSender[Request]]:
    """Return a receiver that is disconnected when the worker ends, and the sender for requests."""
    try:
        return server.accept(START_LIMIT, child=process)
    except Disconnected as error:
        raise DemoError(f"a worker did not start: {error}") from None
    except Empty:
        raise DemoError(f"a worker did not connect within {START_LIMIT:g} s") from None


def ending(process: subprocess.Popen[bytes]) -> str:
    """Describe how a process ended, as the rest of a sentence about it."""
    status = process.wait(END_LIMIT)
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
