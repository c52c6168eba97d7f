"""Run every benchmark, print the table, and write it to RESULTS.md with the machine's name."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from interleave import HEADER

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
HEADING = "\n## CPython "
SCRIPTS = [
    "codec.py",
    "streaming.py",
    "small_message.py",
    "codecs.py",
    "round_trips.py",
    "receiver_sets.py",
    "endpoints.py",
    "layers.py",
    "importing.py",
    "starting.py",
    "shared_memory.py",
    "large_arrays.py",
    "tagged_union.py",
    "transport.py",
]

INTRODUCTION = """\
# Results

Written by `make bench`. Each row tells the median time of one piece of work, ours and the peer's,
in one run in which both took turns; below a ratio of 1, ours is faster. Then come the least and the
greatest ratio of one round, and the ratio that is aimed at.
"""


def machine() -> str:
    """Describe the machine and the interpreter in a line."""
    return (
        f"{os.cpu_count()} processors, {platform.system()} {platform.release()},"
        f" {platform.machine()}, {platform.python_implementation()} {platform.python_version()}"
    )


def rows(script: str, arguments: list[str]) -> list[str]:
    """Run a script, show its rows as they come, and return them."""
    found = []
    command = [sys.executable, str(HERE / script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            found.append(line)
    if process.returncode:
        sys.exit(f"{script} failed")
    return found


def main(arguments: list[str]) -> None:
    print(machine(), HEADER, sep="\n\n", flush=True)
    table = [row for script in SCRIPTS for row in rows(script, arguments)]
    if not arguments:
        write(f"{machine()}\n\n{HEADER}\n{''.join(table)}")


def write(section: str) -> None:
    """Write a section to the results, in place of an earlier one of the same Python version."""
    version = ".".join(platform.python_version_tuple()[:2])
    sections = {version: section}
    if RESULTS.exists():
        for part in RESULTS.read_text().split(HEADING)[1:]:
            name, _, body = part.partition("\n")
            sections.setdefault(name, body.strip("\n") + "\n")
    texts = (f"{HEADING}{name}\n\n{text}" for name, text in sorted(sections.items()))
    RESULTS.write_text(INTRODUCTION + "".join(texts))


if __name__ == "__main__":
    main(sys.argv[1:])
