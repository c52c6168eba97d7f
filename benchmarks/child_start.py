"""The start of a child by subprocess and a one-shot server, against multiprocessing's spawn."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time

from interleave import Work
from spawned import say_ready

import ipc_core

CHILD = "import sys, ipc_core; ipc_core.IpcSender.connect(sys.argv[1]).send('ready')"


def ours(count: int) -> float:
    """Return the seconds until the first messages of that many children."""
    taken = 0.0
    for _ in range(count):
        started = time.perf_counter()
        server, name = ipc_core.IpcOneShotServer[str].new()
        with subprocess.Popen([sys.executable, "-c", CHILD, name]):
            receiver, message = server.accept(timeout=60)
            taken += time.perf_counter() - started
            receiver.close()
        assert message == "ready"
    return taken


def theirs(count: int) -> float:
    context = multiprocessing.get_context("spawn")
    taken = 0.0
    for _ in range(count):
        started = time.perf_counter()
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = context.Process(target=say_ready, args=(writer,))
        process.start()
        message = reader.recv()
        taken += time.perf_counter() - started
        process.join()
        process.close()
        reader.close()
        writer.close()
        assert message == "ready"
    return taken


WORKS = [Work("child start to first message", ours, theirs, 1, "spawn", 0.8)]
