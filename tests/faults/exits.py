"""Programs that end at any instant, with everything open and in use."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from faults import Outcome, fault

PROGRAM = """
import signal, sys, threading
import ipc_core as ipc

def leave(*_):
    raise SystemExit

def again(unraisable):  # where Python drops what a handler raised: in __del__
    dropped = unraisable.exc_type
    if dropped not in handlers:
        return sys.__unraisablehook__(unraisable)
    signal.signal(signal.SIGALRM, handlers[dropped])
    signal.setitimer(signal.ITIMER_REAL, 0.001)

handlers = {SystemExit: leave, KeyboardInterrupt: signal.default_int_handler}
sys.unraisablehook = again
signal.signal(signal.SIGUSR1, leave)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in jobs of some shells

def exchange():
    while True:
        one_tx, one_rx = ipc.channel()
        one_tx.send("unread")
        tx.send([one_rx, "x" * 50_000])
        rx.recv()[0].close()
        one_tx.close()

tx, rx = ipc.channel()
unread_tx, unread_rx = ipc.channel()
for number in range(500):
    unread_tx.send((number, "x" * 1000))
back_tx, back_rx = ipc.channel()
routed_tx, routed_rx = ipc.channel()
ipc.ROUTER.add_route(routed_rx, back_tx.send)
members = ipc.IpcReceiverSet()
members.add(back_rx)
idle_tx, idle_rx = ipc.channel()
server = ipc.IpcOneShotServer()
regions = []
if len(sys.argv) > 1:
    regions = [ipc.IpcSharedMemory.from_bytes(bytes(100_000))]
    views = [regions[0].buffer]
for target in (exchange, exchange, idle_rx.recv, members.select, server.accept):
    threading.Thread(target=target, daemon=True).start()

def meet():
    one, name = ipc.IpcOneShotServer.new()
    with one, ipc.IpcSender.connect(name) as client:
        client.send(regions)
        receiver, found = one.accept()
        receiver.close()
        for region in found:
            region.close()
    routed_tx.send(1)
    try:
        members.try_select_timeout(0.0001)
    except ipc.Empty:
        pass

"""

UNTIL_A_SIGNAL = (
    PROGRAM
    + """
print("ready", flush=True)
while True:
    meet()
"""
)
UNTIL_TOLD = (
    PROGRAM
    + """
def meet_until_exit():
    try:
        while True:
            meet()
    except ipc.IpcError:
        pass  # servers and routers end when the interpreter does

threading.Thread(target=meet_until_exit, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
)


def end(
    outcome: Outcome,
    how: Callable[[subprocess.Popen[str]], None],
    backend: str = "unix",
    program: str = UNTIL_A_SIGNAL,
    options: tuple[str, ...] = (),
) -> tuple[int, str]:
    """Run the program and end it at a random instant; return its status and its
    stderr. Files that it leaves in its temporary folder count as leaked."""
    with tempfile.TemporaryDirectory() as folder:
        regions = ["regions"] if backend == "unix" else []
        running = subprocess.Popen(
            [sys.executable, *options, "-c", program, *regions],
            env=os.environ | {"TMPDIR": folder, "IPC_CORE_BACKEND": backend},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout
        assert running.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0, 0.03))
        how(running)
        with outcome.waiting():
            try:
                _, errors = running.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                running.kill()
                raise AssertionError(f"still runs: {running.communicate()}") from None
        if running.returncode != -signal.SIGTERM:
            outcome.leaked += len(os.listdir(folder))
        return running.returncode, errors


def by(number: int) -> Callable[[subprocess.Popen[str]], None]:
    return lambda running: running.send_signal(number)


def by_the_end_of_main(running: subprocess.Popen[str]) -> None:
    assert running.stdin
    running.stdin.close()
    running.stdin = None  # communicate() would flush it


@fault("The main thread ends at any instant of the others, -X dev -W error", runs=200, within=1)
def program_ends(outcome: Outcome) -> None:
    strict = ("-X", "dev", "-W", "error")
    for number in range(outcome.runs):
        backend = ("unix", "inprocess")[number % 4 == 3]
        result = end(outcome, by_the_end_of_main, backend, UNTIL_TOLD, strict)
        assert result == (0, ""), result


@fault("SystemExit at a random instant, with all kinds of ends in use", runs=200, within=1)
def program_exits(outcome: Outcome) -> None:
    for number in range(outcome.runs):
        backend = ("unix", "inprocess")[number % 4 == 3]
        result = end(outcome, by(signal.SIGUSR1), backend)
        assert result == (0, ""), result


@fault("SIGINT at a random instant, with all kinds of ends in use", runs=100, within=1)
def program_is_interrupted(outcome: Outcome) -> None:
    for _ in range(outcome.runs):
        status, errors = end(outcome, by(signal.SIGINT))
        assert status == -signal.SIGINT, (status, errors)
        assert errors.count("Traceback") - errors.count("the above exception,") == 1, errors
        assert errors.endswith("KeyboardInterrupt\n"), errors


@fault("SIGTERM at a random instant, with all kinds of ends in use", runs=50, within=1)
def program_is_terminated(outcome: Outcome) -> None:
    for _ in range(outcome.runs):
        result = end(outcome, by(signal.SIGTERM))
        assert result == (-signal.SIGTERM, ""), result
