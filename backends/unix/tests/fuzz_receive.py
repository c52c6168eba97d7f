"""Throw attacks at the receive path: `python fuzz_receive.py --seconds 60`.

An input is a string of bytes, which `fuzz_input` makes into packets. Inputs that bring about an
outcome that was never seen are mutated further. A process of its own runs them, so that a crash,
a hang or a memory hog is found out too. What fails is saved in the corpus, and the exit status
is 1.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import mmap
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from fuzz_input import Arsenal, Attack, Choices
from hostile_peer import LAST, MEMORY_ROOM, Peer, use

from ipc_core.messages.format import DEFAULT
from ipc_core.messages.message import copied, decode_message
from ipc_core.plugins import choice
from ipc_core.spi import DecodeError, IpcIOError
from ipc_core.testing.level import descriptors

CORPUS = Path(__file__).with_name("corpus")
LONGEST = 300
HANG_SECONDS = 10


class Target:
    """A channel under attack, and the state that must hold after each attack."""

    def __init__(self) -> None:
        self._backend = choice.backend("unix")
        self._tx, self._rx = self._backend.channel()
        self._arsenal = Arsenal()
        self._level: int | None = None
        self.run(b"")
        self._level = descriptors()

    def run(self, data: bytes) -> set[str]:
        """Attack. Return the outcome. Raise if it was anything but messages and errors."""
        choices = Choices(data)
        decoding = choices.below(3) == 2
        seen: set[str] = set()
        with Peer.beside(self._tx) as peer:
            attack = Attack(peer, self._arsenal, choices)
            if decoding:
                attack.pickles()
            else:
                attack.send()
            self._tx.send(LAST)
            for _ in range(500):
                outcome = self._receive(decoding)
                if outcome is None:
                    break
                seen.add(outcome)
            else:
                raise AssertionError("endless")
        self._check_descriptors()
        return seen

    def _receive(self, decoding: bool) -> str | None:
        try:
            data, attachments = self._rx.recv(0)
            if data == LAST:
                return None
            if decoding:
                decode_message(DEFAULT, self._backend, data, attachments)
                return "decoded"
            copied(data)
        except (DecodeError, IpcIOError) as error:
            return re.sub(r"0x\w+|\d+|'.*'", "#", f"{type(error).__name__}: {error}")
        for attachment in attachments:
            use(attachment)
        return f"a message with kinds {sorted({attachment.kind for attachment in attachments})}"

    def _check_descriptors(self) -> None:
        if self._level is not None and descriptors() != self._level:
            gc.collect()  # of objects that contain themselves
            assert descriptors() == self._level, "descriptors are not level"

    def close(self) -> None:
        self._tx.close()
        self._rx.close()
        self._arsenal.close()


def corpus() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]


def save(data: bytes) -> Path:
    CORPUS.mkdir(exist_ok=True)
    path = CORPUS / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    return path


def inputs(seeds: list[bytes], choose: random.Random) -> Iterator[bytes]:
    """The seeds, then mutations of them without end; the caller adds to the seeds."""
    yield from list(seeds)
    while True:
        data = bytearray(choose.choice(seeds) if seeds and choose.random() < 0.8 else b"")
        if not data:
            yield choose.randbytes(choose.randrange(1, LONGEST))
            continue
        for _ in range(choose.randrange(1, 6)):
            at = choose.randrange(len(data) + 1)
            mutation = choose.randrange(4)
            if mutation == 0:
                data[at : at + 1] = choose.randbytes(1)
            elif mutation == 1:
                data[at:at] = choose.randbytes(choose.randrange(8))
            elif mutation == 2:
                del data[at : at + choose.randrange(8)]
            else:
                other = choose.choice(seeds)
                data[at:] = other[choose.randrange(len(other) + 1) :]
        yield bytes(data[:LONGEST])


class Ledger:
    """The notes of the process that runs the inputs, for its parent."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 16 + LONGEST)

    def begin(self, count: int, data: bytes) -> None:
        self._shared[16 : 16 + len(data)] = data
        self._shared[:16] = count.to_bytes(8, "little") + len(data).to_bytes(8, "little")

    @property
    def count(self) -> int:
        return int.from_bytes(self._shared[:8], "little")

    @property
    def data(self) -> bytes:
        return self._shared[16 : 16 + int.from_bytes(self._shared[8:16], "little")]


def work(ledger: Ledger, seconds: float, seed: int, grow: bool) -> None:
    """Run inputs for so long, and report at the end. Never returns."""
    status = 1
    try:
        target = Target()
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_ROOM, most))
        seeds, outcomes = corpus(), set[str]()
        started = time.monotonic()
        for count, data in enumerate(inputs(seeds, random.Random(seed)), 1):
            ledger.begin(count, data)
            new = target.run(data) - outcomes
            if new:
                outcomes |= new
                if data not in seeds:
                    seeds.append(data)
                    if grow:
                        save(data)
            elapsed = time.monotonic() - started
            if elapsed > seconds:
                break
        print(
            f"{count} inputs in {elapsed:.0f} s ({count / elapsed:.0f}/s, seed {seed}),"
            f" {len(outcomes)} distinct outcomes, none a failure"
        )
        sys.stdout.flush()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def supervise(seconds: float, seed: int, grow: bool) -> int:
    """Run the inputs in a child; return the exit status."""
    ledger = Ledger()
    child = os.fork()
    if child == 0:
        work(ledger, seconds, seed, grow)
    seen, since = -1, time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if ledger.count != seen:
            seen, since = ledger.count, time.monotonic()
        if time.monotonic() - since > HANG_SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.1)
    if status and not ledger.count:
        print("nothing was run")
        return 1
    if status:
        path = save(ledger.data)
        print(f"input {ledger.count} failed (status {status}, seed {seed}); it is in {path}")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument(
        "--grow", action="store_true", help="save the inputs that bring about something new"
    )
    options = parser.parse_args()
    return supervise(options.seconds, options.seed, options.grow)


if __name__ == "__main__":
    sys.exit(main())
