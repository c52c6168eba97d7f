"""`ipc-core demo` as its users run it: real processes, files, signals and exit statuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from ipc_core.cli.demo import pool as pool_module
from ipc_core.cli.demo.files import MOST_BYTES, FileToHash, Unreadable, find_files, load
from ipc_core.cli.demo.job import Job
from ipc_core.cli.demo.pool import DemoError, check_backend, pool
from ipc_core.spi.errors import IpcError

pytest.importorskip("typer")
pytest.importorskip("rich")

LIMIT = 60  # seconds for one run

SMALL_FILES = 300


@pytest.fixture(autouse=True)
def _cross_process() -> None:
    try:
        check_backend()
    except IpcError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """303 files that can be hashed: small, empty, of 5 MiB, and with a name that is not text."""
    root = tmp_path_factory.mktemp("tree")
    for number in range(SMALL_FILES):
        folder = root / f"d{number % 7}" / "inner"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(b"x" * (number * 37 % 5000))
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(5 << 20))
    Path(os.fsdecode(os.fsencode(root) + b"/[red]\xff\n")).write_bytes(b"odd name")
    return root


@pytest.fixture
def odd_tree(tree: Path) -> Iterator[Path]:
    """The tree with files that must not be hashed; one of them is skipped, two unless root."""
    odd = tree / "odd"
    odd.mkdir()
    (odd / "dangling").symlink_to("nowhere")
    (odd / "link").symlink_to(tree / "large")
    (odd / "loop").symlink_to(tree)
    os.mkfifo(odd / "fifo")
    with socket.socket(socket.AF_UNIX) as listener, _working_folder(odd):
        listener.bind("socket")
    with open(odd / "huge", "wb") as huge:
        huge.truncate(MOST_BYTES + 1)
    (odd / "secret").touch(mode=0)
    yield tree
    for path in odd.iterdir():
        path.unlink()
    odd.rmdir()


@contextmanager
def _working_folder(path: Path) -> Iterator[None]:
    """A socket's path is short, pytest's folders are not."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONUTF8": "1", "PYTHONDEVMODE": "1", "COLUMNS": "80", **extra}


def run(*args: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `ipc-core` to its end. Workers inherit stderr, so none of them is left either."""
    return subprocess.run(
        [sys.executable, "-m", "ipc_core", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=environment(**extra),
        timeout=LIMIT,
        check=False,
    )


def rows(output: str) -> dict[str, list[str]]:
    """The cells of the printed table by the first of each row."""
    cells = [re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in output.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) > 3}


def test_hashes_every_file(odd_tree: Path) -> None:
    result = run("demo", odd_tree, "--workers", "3")
    assert result.stderr == ""
    assert result.returncode == 0
    table = rows(result.stdout)
    workers = [row for name, row in table.items() if name.isdigit()]
    readable = SMALL_FILES + 3 + (os.geteuid() == 0)
    assert len(workers) == 3
    assert table["total"][0] == str(readable)
    assert sum(int(row[0]) for row in workers) == readable
    assert "killed" not in result.stdout
    assert "huge': larger than 1024 MiB" in result.stdout
    assert ("secret': Permission denied" in result.stdout) == (os.geteuid() != 0)
    assert "all are right" in result.stdout


def test_killed_worker_loses_nothing(tree: Path) -> None:
    result = run("demo", tree, "--workers", "3", "--kill-one")
    assert result.stderr == ""
    assert result.returncode == 0
    table = rows(result.stdout)
    assert table["total"][0] == str(SMALL_FILES + 3)
    assert [row[-1].strip() for name, row in table.items() if name.isdigit()].count("killed") == 1
    assert "all are right; 0 files skipped" in result.stdout


@pytest.mark.parametrize("kill", [[], ["--kill-one"]])
def test_one_file_or_none(tree: Path, tmp_path: Path, kill: list[str]) -> None:
    for path, count in ((tree / "large", "1"), (tmp_path, "0")):
        result = run("demo", path, *kill)
        assert (result.returncode, result.stderr) == (0, "")
        assert rows(result.stdout)["total"][0] == count


def test_workers_start_where_this_ipc_core_is() -> None:
    assert (pool_module._IMPORT_ROOT / "ipc_core" / "cli" / "demo" / "worker.py").exists()


def test_modules_in_the_working_folder_do_not_run(tmp_path: Path) -> None:
    (tmp_path / "hashlib.py").write_text("raise SystemExit('wrong hashlib')")
    result = subprocess.run(
        [sys.executable, "-c", "from ipc_core.cli.commands import main; exit(main(['demo', '.']))"],
        capture_output=True,
        text=True,
        env=environment(PYTHONSAFEPATH="1"),
        cwd=tmp_path,
        timeout=LIMIT,
        check=False,
    )
    if sys.version_info >= (3, 11):
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["demo", "/no/such/folder"], "does not exist"),
        (["demo", os.devnull], "neither a folder nor a regular file"),
        (["demo", "--workers", "0"], "--workers"),
        (["demo", "--workers", "many"], "--workers"),
        (["demo", "--workers", "1", "--kill-one"], "nobody would be left"),
        (["demo", "--unheard-of"], "--unheard-of"),
        (["unheard-of"], "unheard-of"),
    ],
)
def test_wrong_use_is_one_line(args: list[str], text: str) -> None:
    result = run(*args)
    assert result.returncode == 2
    assert result.stdout == ""
    assert text in result.stderr
    assert result.stderr.startswith("ipc-core: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("backend", ["inprocess", "unheard-of"])
def test_unusable_backend_is_one_line(tmp_path: Path, backend: str) -> None:
    result = run("demo", tmp_path, IPC_CORE_BACKEND=backend)
    assert result.returncode == 2
    assert backend in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str, tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
from ipc_core.__main__ import main
sys.argv[1:] = ["demo", {str(tmp_path)!r}]
sys.exit(main())
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert result.returncode == 2
    assert "pip install 'ipc-core[cli]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_without_arguments() -> None:
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    assert "demo" in result.stdout


PAUSED = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner may have had it ignored
from ipc_core import __main__
from ipc_core.cli.demo.job import Job

def pause(self, result):
    print("paused", flush=True)
    sys.stdin.read()

Job._handle = pause
sys.exit(__main__.main())
"""


@contextmanager
def paused_job(tree: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo whose parent waits for stdin after the first answer, while its workers are alive."""
    with subprocess.Popen(
        [sys.executable, "-c", PAUSED, "demo", tree],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == "paused\n"
            yield parent
        finally:
            parent.kill()


@pytest.mark.parametrize("whole_group", [False, True])
def test_ctrl_c(tree: Path, whole_group: bool) -> None:
    with paused_job(tree) as parent:
        (os.killpg if whole_group else os.kill)(parent.pid, signal.SIGINT)
        output, errors = parent.communicate(timeout=LIMIT)
    assert (parent.returncode, output, errors) == (130, "", "")


def test_ctrl_c_inside_a_finalizer_is_not_lost(tree: Path) -> None:
    program = """
import sys
from ipc_core import __main__
from ipc_core.cli.demo.job import Job

class Interrupted:
    def __del__(self):
        raise KeyboardInterrupt

Job._kill_one = lambda self: Interrupted() and None
sys.exit(__main__.main())
"""
    result = subprocess.run(
        [sys.executable, "-c", program, "demo", tree, "--kill-one"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=LIMIT,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_workers_end_when_the_parent_is_killed(tree: Path) -> None:
    with paused_job(tree) as parent:
        parent.kill()
        _, errors = parent.communicate(timeout=LIMIT)  # waits for all processes that hold stderr
    assert errors == ""


def test_wrong_digest_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = list(find_files(os.fspath(tree / "d0"), lambda path, reason: None))
    monkeypatch.setattr("ipc_core.cli.demo.job.sha256", lambda data: sha256(b"other"))
    with pool(2) as (received, workers):
        report = Job(files, received, workers).run()
    assert sorted(report.mismatched) == sorted(file.path for file in files)
    assert all(worker.process.returncode == 0 for worker in workers)


def test_wrong_digest_is_exit_status_1(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ipc_core.cli.commands import main

    monkeypatch.setattr("ipc_core.cli.demo.job.sha256", lambda data: sha256(b"other"))
    assert main(["demo", str(tree / "empty")]) == 1
    assert "wrong digest" in capsys.readouterr().out


def test_vanished_files_are_skipped(tree: Path) -> None:
    files = [FileToHash(str(tree / name), 1) for name in ("gone", "empty", "d0")]
    with pool(1) as (received, workers):
        report = Job(files, received, workers).run()
    assert dict(report.skipped) == {
        str(tree / "gone"): os.strerror(2),
        str(tree / "d0"): os.strerror(21),
    }
    assert report.workers[0].files == 1


def test_the_others_take_over_from_a_worker_that_dies_by_itself(tree: Path) -> None:
    files = list(find_files(os.fspath(tree), lambda path, reason: None))
    with pool(2) as (received, workers):
        workers[0].process.terminate()
        report = Job(files, received, workers).run()
    assert sum(worker.files for worker in report.workers) == len(files)
    assert report.workers[0].ending == f"was ended by signal {signal.SIGTERM:d}"
    assert not report.mismatched


def test_no_worker_left(tree: Path) -> None:
    files = list(find_files(os.fspath(tree), lambda path, reason: None))
    with pytest.raises(DemoError, match="no worker is left"), pool(2) as (received, workers):
        for worker in workers:
            worker.process.kill()
        Job(files, received, workers).run()
    assert all(worker.process.returncode == -signal.SIGKILL for worker in workers)


def test_worker_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DemoError, match="exited with status 1"), pool(2):
        pass


def test_worker_that_does_not_connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexec sleep 1000\n")
    idle.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(idle))
    monkeypatch.setattr(pool_module, "START_LIMIT", 0.2)
    with pytest.raises(DemoError, match=r"did not connect within 0\.2 s"), pool(2):
        pass


def test_files_come_in_one_order_and_links_are_not_followed(odd_tree: Path) -> None:
    errors: list[tuple[str, str]] = []
    found = [
        [file.path for file in find_files(os.fspath(odd_tree), lambda *e: errors.append(e))]
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == SMALL_FILES + 5
    assert {os.path.basename(path) for path in found[0]}.isdisjoint({"link", "fifo", "socket"})
    assert not errors


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path) -> None:
    errors: list[tuple[str, str]] = []
    missing = os.fspath(tmp_path / "missing")
    assert not list(find_files(missing, lambda *error: errors.append(error)))
    assert errors == [(missing, os.strerror(2))]


def test_load_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Unreadable, match="not a regular file"):
        load(os.fspath(tmp_path / "fifo"))


def test_load_notices_a_size_that_is_not_what_it_reads() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    with pytest.raises(Unreadable, match="became longer"):
        load("/proc/self/status")
