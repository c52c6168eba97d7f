"""`cd tests && python -m soak --seconds 600`: processes that use everything, some of them killed.

Prints a summary of one line; the status is 1 when a message is missing, or anything is left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ipc_core as ipc
from soak import worker
from soak.ledger import Account, Ledger
from soak.level import differences, warm_up

PROCESSES = 4
MOST_DEATHS = 100
ROWS_PER_SECOND = 100


class Conductor:
    """A conductor that starts workers, connects them, and kills and stops all but the first."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.random = random.Random(seed)
        self.seconds = seconds
        rows = int(1000 + ROWS_PER_SECOND * seconds)
        self.ledger = Ledger.new(PROCESSES + MOST_DEATHS, rows)
        self.started = 0
        self.living: dict[int, tuple[Any, Any, Any, Any, int]] = {}
        self.killed: set[int] = set()
        self.violations: list[str] = []

    def start(self) -> None:
        process = self.started
        self.started += 1
        server, name = ipc.IpcOneShotServer[Any].new()
        child = python("main", name)
        reports, orders = server.accept(30)
        orders.send((process, self.random.getrandbits(32), self.seconds, self.ledger.region,
                     self.ledger.rows))  # fmt: skip
        inbox, channel = reports.try_recv_timeout(30)
        for other, (_, _, their_orders, their_inbox, their_channel) in self.living.items():
            _order(their_orders, "peer", process, inbox, channel)
            _order(orders, "peer", other, their_inbox, their_channel)
        self.living[process] = child, reports, orders, inbox, channel

    def kill(self, process: int) -> None:
        child, reports, orders, inbox, _ = self.living.pop(process)
        self.killed.add(process)
        child.kill()
        child.wait(30)
        for end in (reports, orders, inbox):
            end.close()
        for _, _, their_orders, *_ in self.living.values():
            _order(their_orders, "gone", process)

    def disturb(self) -> None:
        process = self.random.choice([process for process in self.living if process])
        if self.random.random() < 0.7 and len(self.killed) < MOST_DEATHS:
            self.kill(process)
            self.start()
            return
        child = self.living[process][0]
        child.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0, 0.5))
        child.send_signal(signal.SIGCONT)

    def run(self) -> None:
        until = time.monotonic() + self.seconds
        for _ in range(PROCESSES):
            self.start()
        while time.monotonic() < until and not self._somebody_failed():
            time.sleep(self.random.uniform(0, max(0.3, 1.4 * self.seconds / MOST_DEATHS)))
            self.disturb()
        for _, _, orders, inbox, _ in self.living.values():
            inbox.close()
            _order(orders, "stop", 0)
        for process, (child, reports, orders, _, _) in self.living.items():
            try:
                wrong = reports.try_recv_timeout(worker.DRAIN_SECONDS + 20)
                child.wait(30)
            except (ipc.Empty, ipc.Disconnected) as error:
                wrong = [f"no report: {error!r}"]
                child.kill()
            self.violations += [f"process {process}: {text}" for text in wrong]
            reports.close()
            orders.close()

    def kill_all(self) -> None:
        """End processes that still run; none do, if all went well."""
        for child, *_ in self.living.values():
            child.kill()
            child.wait(30)

    def _somebody_failed(self) -> bool:
        return any(child.poll() is not None for child, *_ in self.living.values())


def _order(orders: ipc.IpcSender[Any], *what: Any) -> None:
    try:
        orders.send(what)
    except ipc.BrokenChannelError:
        pass  # it failed, which its report tells


def soak(seconds: float, seed: int) -> list[str]:
    """Run; print the summary; return the violations found."""
    before = warm_up()
    conductor = Conductor(seed, seconds)
    try:
        conductor.run()
    finally:
        conductor.kill_all()
    account = Account(conductor.ledger, conductor.killed)
    conductor.ledger.close()
    violations = [*conductor.violations, *account.violations[:20], *differences(before),
                  *left_folders()]  # fmt: skip
    print(
        f"soak of {seconds:g} s, seed {seed}: {conductor.started} processes, "
        f"{len(conductor.killed)} killed; {account.channels} channels; {account.sent} messages "
        f"accepted = {account.received} received + {account.lost} lost with killed or closed "
        f"receivers; {len(violations) or 'no'} violations"
    )
    return violations


def left_folders() -> list[str]:
    """Report folders that killed servers left although another process has made a server."""
    python("make_a_server").wait(30)
    return [f"a server's folder is left: {name}" for name in os.listdir(tempfile.gettempdir())
            if name.startswith("ipc-")]  # fmt: skip


def python(function: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Run a function of the worker module in a process of its own."""
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
    code = f"import sys; from soak import worker; worker.{function}(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        violations = soak(arguments.seconds, arguments.seed)
    for text in violations:
        print(text)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
