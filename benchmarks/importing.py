"""Import, a first channel and its first message, in a fresh Python.

The peer is the least that could do it: a socket pair and pickle. Measured inside the child, so
without Python's own start.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from interleave import Work, main

OURS = """
import ipc_core
tx, rx = ipc_core.channel()
tx.send({"a": 1})
assert rx.recv() == {"a": 1}
"""

THEIRS = """
import pickle, socket
tx, rx = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
tx.send(pickle.dumps({"a": 1}))
assert pickle.loads(rx.recv(65536)) == {"a": 1}
"""


def run(program: str, count: int) -> float:
    """Return the seconds that `count` fresh interpreters measure for a program."""
    timed = (
        f"import time\nstarted = time.perf_counter()\n{program}\n"
        "print(time.perf_counter() - started)"
    )
    command = [sys.executable, "-c", timed]
    return sum(
        float(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
        for _ in range(count)
    )


WORKS = [
    Work("import, first channel, first message", partial(run, OURS), partial(run, THEIRS), 1,
         "socket + pickle", 2.5)
]  # fmt: skip

if __name__ == "__main__":
    main(WORKS)
