"""A program may end with anything open: promptly, silently, and leaving nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ipc_core.testing.states import wait_until

BEGIN = """
import asyncio, gc, os, subprocess, sys, threading, time, types
import ipc_core as ipc
tx, rx = ipc.channel()

def in_thread(target, *arguments, daemon=True):
    threading.Thread(target=target, args=arguments, daemon=daemon).start()
    time.sleep(0.05)

def send_both_ends():
    ends = ipc.channel()
    tx.send(ends)
    ends[0].close()
"""
END = """
print(time.monotonic(), flush=True)
"""
SOON = 1.0

ANYWHERE = {
    "nothing": "",
    "ends in globals of main": "bytes_tx, bytes_rx = ipc.bytes_channel()",
    "ends in another module": """
module = sys.modules["other"] = types.ModuleType("other")
module.tx, module.rx = ipc.channel()
send_both_ends()
""",
    "unread data": """
for number in range(2000):
    tx.send(("x" * 1000, number))
tx.send(bytes(1 << 20))
send_both_ends()
""",
    "an unread result of a set": """
members = ipc.IpcReceiverSet()
members.add(rx)
send_both_ends()
results = members.select()
""",
    "cycles in garbage": """
gc.disable()
for _ in range(10):
    send_both_ends()
    cycle = [*ipc.channel(), ipc.IpcReceiverSet(), ipc.IpcOneShotServer()]
    cycle.append(cycle)
del cycle
""",
    "a router": """
router = ipc.Router()
router.add_route(rx, print)
other_tx, other_rx = ipc.channel()
found = ipc.ROUTER.route_to_queue(other_rx)
other_tx.send(1)
found.get()
""",
    "a router in a callback": """
entered = threading.Event()
router = ipc.Router()
router.add_route(rx, lambda message: (entered.set(), time.sleep(0.3)))
for number in range(1000):
    tx.send(number)
entered.wait()
""",
    "a callback that sends": """
back_tx, back_rx = ipc.channel()
ipc.ROUTER.add_route(rx, lambda message: (back_tx.send(message), tx.send(message + 1)))
tx.send(0)
back_rx.recv()
""",
    "a pending recv": "in_thread(rx.recv)",
    "a pending recv with a timeout": "in_thread(rx.try_recv_timeout, 1000)",
    "a pending select": """
members = ipc.IpcReceiverSet()
members.add(rx)
in_thread(members.select)
""",
    "a pending wait on an empty set": "in_thread(ipc.IpcReceiverSet().wait)",
    "a pending wait_closed": "in_thread(tx.wait_closed)",
    "a server never met": "server, name = ipc.IpcOneShotServer.new()",
    "a pending accept": """
server, name = ipc.IpcOneShotServer.new()
in_thread(server.accept)
""",
    "a pending accept with a silent client": """
server, name = ipc.IpcOneShotServer.new()
client = ipc.IpcSender.connect(name)
in_thread(server.accept)
""",
    "threads that go on": """
def work():
    while True:
        one_tx, one_rx = ipc.channel()
        one_tx.send(one_rx)
        tx.send([one_tx, "x" * 10_000])
        rx.recv()[0].close()
        one_tx.close()

for _ in range(3):
    in_thread(work)
""",
    "a thread that is not a daemon": """
members = ipc.IpcReceiverSet()
members.add(rx)
results = []

def wait_for_two():
    results.append(members.select())
    send_both_ends()
    results.append(members.select())
    print(time.monotonic(), flush=True)

in_thread(wait_for_two, daemon=False)
in_thread(lambda: (threading.main_thread().join(), tx.send("after main")))
""",
    "sending at exit": """
import atexit
atexit.register(lambda: (tx.send(1), rx.recv(), send_both_ends()))
""",
    "a stream that waits": """
stream = rx.to_stream()

async def main():
    task = asyncio.create_task(stream.recv())
    await asyncio.sleep(0.05)

asyncio.run(main())
""",
    "a stream in a loop that stopped": """
stream = rx.to_stream()

async def main():
    try:
        await asyncio.wait_for(stream.recv(), 0.05)
    except asyncio.TimeoutError:
        pass

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
""",
    "sys.exit in the middle": """
members = ipc.IpcReceiverSet()
members.add(rx)
other_tx, other_rx = ipc.channel()
ipc.ROUTER.route_to_queue(other_rx)
print(time.monotonic(), flush=True)
sys.exit()
""",
}
BETWEEN_PROCESSES = {
    "memory with views": """
gc.disable()
regions = [ipc.IpcSharedMemory.from_bytes(b"x" * size) for size in (1, 4096, 1 << 20)]
views = [region.buffer for region in regions] + [regions[2].buffer_mut()[5:10]]
tx.send(regions)
received = rx.recv()
views += [region.buffer for region in received]
for region in received:
    region.close()
clone = regions[0].clone()
cycle = [clone, clone.buffer]
cycle.append(cycle)
del clone, cycle
""",
    "a child that is connected": """
server, name = ipc.IpcOneShotServer.new()
child = '''
import sys, ipc_core as ipc
to_parent = ipc.IpcSender.connect(sys.argv[1])
to_child, from_parent = ipc.channel()
to_parent.send(to_child)
to_child.close()
assert list(from_parent) == ["queued"]
to_parent.wait_closed()
'''
os.posix_spawn(sys.executable, [sys.executable, "-c", child, name], os.environ)
receiver, to_child = server.accept()
to_child.send("queued")
""",
    "a queue longer than the socket": """
for number in range(20_000):
    tx.send(number)
rx.recv()
""",
}

CASES = [(code, backend) for backend in ("unix", "inprocess") for code in ANYWHERE]
CASES += [(code, "unix") for code in BETWEEN_PROCESSES]


def run(tmp_path: Path, code: str, backend: str) -> tuple[int, str, str, float]:
    """Run a program; return its status, both outputs, and for how long it went on after main."""
    script = tmp_path / "program.py"
    script.write_text(code)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a short name, for sockets
        program = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", str(script)],
            env=os.environ | {"TMPDIR": folder, "IPC_CORE_BACKEND": backend},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
        )  # fmt: skip
        try:
            program.wait(60)
            ended = time.monotonic()
            output, errors = program.communicate(timeout=60)  # until its children have ended too
        except BaseException:
            program.kill()
            program.communicate()
            raise
        wait_until(lambda: not alive(program.pid), "its children have ended", 10)
        assert os.listdir(folder) == []
    return program.returncode, output, errors, ended - float(output.split()[-1])


@pytest.mark.parametrize(("case", "backend"), CASES)
def test_the_program_ends_soon_and_silently(tmp_path: Path, case: str, backend: str) -> None:
    code = (ANYWHERE | BETWEEN_PROCESSES)[case]
    status, _, errors, seconds = run(tmp_path, BEGIN + code + END, backend)
    # asyncio's debug mode, which -X dev turns on, tells of a busy machine.
    errors = re.sub(r"Executing <.*> took \d+\.\d+ seconds\n", "", errors)
    assert (status, errors) == (0, "")
    assert seconds < SOON


def alive(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    processes = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(status[2]) == group and status[0] not in "ZX":
            processes.append(process)
    return processes


LEAKS = {
    "ipc.channel()": 2,
    "ipc.bytes_channel()": 2,
    "ipc.channel()[1].to_opaque()": 2,
    "tx.clone()": 1,
    "[loop.append(loop) for loop in [[tx.clone()]]]; gc.collect()": 1,
}


@pytest.mark.parametrize("backend", ["unix", "inprocess"])
@pytest.mark.parametrize("leak", LEAKS)
def test_what_was_dropped_before_is_named(tmp_path: Path, leak: str, backend: str) -> None:
    lines = BEGIN + leak
    status, _, errors, _ = run(tmp_path, lines + "\ntx.close()\n" + END, backend)
    assert status == 0
    assert errors.count("ResourceWarning: unclosed <") == LEAKS[leak]
    place = f"program.py:{len(lines.splitlines())}"
    assert errors.count(place) == LEAKS[leak]


@pytest.mark.parametrize("backend", ["unix", "inprocess"])
def test_no_warning_without_dev_mode_or_after_close(tmp_path: Path, backend: str) -> None:
    code = "for end in (*ipc.channel(), tx.clone()):\n    end.close()\ndel end\n"
    assert run(tmp_path, BEGIN + code + END, backend)[2] == ""
