"""Clients killed at any instant of their way to a one-shot server."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import ipc_core
from faults import Outcome, fault

CLIENT = """
import os, signal, sys, time, ipc_core
large = bytes(1 << 20)
server, name = ipc_core.IpcOneShotServer.new()
with server, ipc_core.IpcSender.connect(name) as tx:  # imports what a client needs
    tx.send(large)
while True:
    name, seconds = sys.stdin.readline().split()
    child = os.fork()
    if not child:
        with ipc_core.IpcSender.connect(name) as tx:
            rx = ipc_core.channel()[1]
            tx.send((rx, large))
            os.write(1, b"sent ")
        os._exit(0)
    time.sleep(float(seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.write(1, b"ended\\n")
"""


@fault("a client killed on its way to a one-shot server", runs=1000, within=1)
def client_killed_in_bootstrap(outcome: Outcome) -> None:
    """Its message is accepted; else accept says at once that it left, or never came."""
    nursery = subprocess.Popen(
        [sys.executable, "-c", CLIENT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with nursery:
        assert nursery.stdin
        assert nursery.stdout
        for _ in range(outcome.runs):
            server, name = ipc_core.IpcOneShotServer[Any].new()
            nursery.stdin.write(f"{name} {random.uniform(0, 0.006)}\n")
            nursery.stdin.flush()
            ended = nursery.stdout.readline()
            assert ended.endswith("ended\n")
            with outcome.waiting(), server:
                try:
                    receiver, (moved, large) = server.accept(0.01)
                except (ipc_core.Empty, ipc_core.Disconnected):
                    outcome.lost += "sent" in ended
                    continue
            with receiver, moved:
                assert large == bytes(1 << 20)
                for end in (receiver, moved):
                    try:
                        end.recv()
                    except ipc_core.Disconnected:
                        continue
                    raise AssertionError("there was more than was sent")
        nursery.kill()
