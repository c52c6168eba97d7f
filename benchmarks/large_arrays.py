"""The most memory that a process needs to send, and to receive, one large array.

`--mib N` sets its size. The memory counted is the peak of a process's resident memory, less that
before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import ipc_core

if TYPE_CHECKING:
    from typing_extensions import Self

STEP = 1 << 20


def resident() -> int:
    """Return the bytes of this process's memory that are resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


class Peak:
    """A watch on this process's memory, in a thread, while the block runs.

    At the end `bytes` is the peak, less the memory at the start.
    """

    def __enter__(self) -> Self:
        self._before = self.bytes = resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.001):
            self.bytes = max(self.bytes, resident())

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, resident()) - self._before


def receive(name: str) -> None:
    """Receive the array in a child, check it, and send back the peak."""
    jobs_tx, jobs = ipc_core.channel()
    with ipc_core.IpcSender.connect(name) as results, jobs:
        results.send(jobs_tx)
        jobs_tx.close()
        with Peak() as peak:
            view = jobs.recv()["array"]
            right = all(view[at] == at // STEP % 251 for at in range(0, len(view), STEP))
            view[::4096].tolist()  # reads every page
            view[0] = 1
        assert right
        results.send(peak.bytes)


def send(size: int) -> tuple[int, int]:
    """Send an array to a child; return the peaks of this sender and of the receiver, in bytes."""
    server, name = ipc_core.IpcOneShotServer.new()
    command = [sys.executable, __file__, "--receive", name]
    with server, subprocess.Popen(command) as process:
        results, jobs = server.accept(child=process)
        with Peak() as peak, closing(results), closing(jobs):
            array = bytearray(size)
            for at in range(0, size, STEP):
                array[at] = at // STEP % 251
            jobs.send({"array": memoryview(array)})
            theirs = results.recv()
    return peak.bytes, theirs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a small array")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--receive", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        receive(arguments.receive)
        return
    mib = 16 if arguments.quick else arguments.mib
    for who, most in zip(("sender", "receiver"), send(mib << 20), strict=True):
        used = most / (1 << 20)
        ratio = used / mib
        print(f"| {mib} MiB array, memory of the {who} | {used:.0f} MiB | array {mib} MiB"
              f" | {ratio:.2f} | {ratio:.2f} - {ratio:.2f} | 1.1 |")  # fmt: skip


if __name__ == "__main__":
    main()
