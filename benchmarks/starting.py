"""From starting a child to its first message: subprocess and a one-shot server, against
multiprocessing's spawn and a Pipe."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from multiprocessing.connection import Connection

from interleave import Comparison, compare

import ipc_core

CHILD = "import sys, ipc_core; ipc_core.IpcSender.connect(sys.argv[1]).send('ready')"


def ours() -> float:
    started = time.perf_counter()
    server, name = ipc_core.IpcOneShotServer.new()
    with subprocess.Popen([sys.executable, "-c", CHILD, name]):
        receiver, message = server.accept(timeout=60)
        taken = time.perf_counter() - started
        receiver.close()
    assert message == "ready"
    return taken


def theirs() -> float:
    started = time.perf_counter()
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=say_ready, args=(writer,))
    process.start()
    message = reader.recv()
    taken = time.perf_counter() - started
    process.join()
    process.close()
    reader.close()
    writer.close()
    assert message == "ready"
    return taken


def say_ready(writer: Connection) -> None:
    writer.send("ready")


def run(rounds: int = 15) -> Comparison:
    return compare(ours, theirs, rounds)


if __name__ == "__main__":
    result = run()
    print(
        f"child start to first message: {result.ours * 1e3:.1f} ms, spawn"
        f" {result.theirs * 1e3:.1f} ms, ratio {result.ratio:.2f}"
    )
