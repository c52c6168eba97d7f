"""A run of the conformance kit: never green on nothing, in its order, with a summary."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = ("--pyargs", "ipc_core.testing.suite")
MINE = """\
import pytest

from ipc_core.testing import BackendConformance, Capability, requires


class TestMine(BackendConformance):
    backend = "inprocess"

    def test_of_an_absent_package(self, bag):
        pytest.importorskip("no_such_package")


class TestMisspelt(BackendConformance):
    backend = "inproces"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(MINE)
    return tmp_path


def kit(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull,
         "-p", "ipc_core.testing.plugin", "--rootdir", folder, *arguments],
        capture_output=True, text=True, timeout=100, check=False, cwd=folder, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "name", "reason"),
    [
        ("--ipc-backend", "inproces", "'inproces' cannot be used: it is not installed"),
        ("--ipc-backend", "windows", "'windows' cannot be used"),
        ("--ipc-codec", "pickel", "no codec 'pickel'"),
    ],
)
def test_a_name_that_cannot_be_used_fails_the_run_at_once(
    tmp_path: Path, option: str, name: str, reason: str
) -> None:
    run = kit(tmp_path, *SUITE, option, name)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert reason in (run.stdout + run.stderr).splitlines()[0]


def test_a_plugin_whose_import_raises_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "bad_plugin.py").write_text("raise ZeroDivisionError('the engine is missing')\n")
    metadata = tmp_path / "bad_plugin.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[ipc_core.backends]\nbad = bad_plugin\n")
    run = kit(tmp_path, *SUITE, "--ipc-backend", "bad", path=str(tmp_path))
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the engine is missing" in (run.stdout + run.stderr).splitlines()[0]


def test_a_class_that_names_no_backend_fails(mine: Path) -> None:
    run = kit(mine, "test_it.py", "-k", "TestMisspelt and test_transport_simple")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "'inproces' cannot be used" in run.stdout
    assert "skipped" not in run.stdout


def test_the_summary_lists_claims_and_packages(mine: Path) -> None:
    run = kit(mine, "test_it.py", "-k", "TestMine and (absent_package or transport_shared)")
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert "conformance of inprocess" in run.stdout
    assert "claimed and tested: SHARED_MEMORY" in lines
    assert "claimed, not tested: UNBOUNDED, PROMPT_DISCONNECT, FREES_RINGS" in lines
    assert "not installed: no_such_package (1 tests skipped)" in lines


def test_a_run_in_which_nothing_passed_fails(mine: Path) -> None:
    run = kit(mine, "test_it.py", "-k", "TestMine and test_of_an_absent_package")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no test of the kit ran" in run.stdout


def test_a_claim_that_no_test_of_a_whole_run_tried_fails_it(mine: Path) -> None:
    method = "    def test_of_an_absent_package"
    marked = MINE.replace(method, f"    @requires(Capability.FREES_RINGS)\n{method}")
    (mine / "test_it.py").write_text(marked)
    only = "test_it.py::TestMine"
    run = kit(mine, f"{only}::test_of_an_absent_package", f"{only}::test_bytes")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "inprocess claims FREES_RINGS, but no test of it ran" in run.stdout


def collected(folder: Path, *arguments: str) -> list[str]:
    """The names of the tests in the order in which they would run, without parameters."""
    listed = kit(folder, "--collect-only", *arguments).stdout
    return re.findall(r"::(test_\w+)", listed)


def test_the_transport_comes_first_by_name_and_by_class(mine: Path) -> None:
    by_name = collected(mine, *SUITE, "--ipc-backend", "inprocess")
    assert by_name[0] == "test_transport_simple"
    by_class = collected(mine, "test_it.py", "-k", "TestMine")
    by_class.remove("test_of_an_absent_package")
    assert by_class == by_name


def test_a_quick_run_has_only_tests_of_the_transport(mine: Path) -> None:
    quick = collected(mine, *SUITE, "--ipc-backend", "inprocess", "--ipc-quick")
    assert len(quick) > 200
    assert all(name.startswith("test_transport") for name in quick)
    assert "test_transport_send_never_waits" not in quick


UNTIDY = """\
import os
import tempfile
import threading
import time

from ipc_core.testing import BackendConformance


class TestUntidy(BackendConformance):
    backend = "inprocess"

    def test_leaves_things(self, bag):
        os.close(tempfile.mkstemp(prefix="forgotten-file-")[0])
        thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
        thread.name = "forgotten-thread"
        thread.start()
        self.forgotten = os.open(os.devnull, os.O_RDONLY)
        TestUntidy.kept = self

    def test_breaks_a_rule(self, bag):
        '''Messages come once.'''
        assert 1 == 2
"""


def test_leftovers_are_named(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(UNTIDY)
    run = kit(tmp_path, "test_it.py", "-k", "test_leaves_things")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"the test left 1 files: \S*forgotten-file-", run.stdout)
    assert "the test left 1 threads running: forgotten-thread (" in run.stdout
    if os.path.isdir("/proc/self/fd"):
        assert re.search(r"leaked descriptors, \+1: \d+ \(/dev/null\)", run.stdout)


def test_a_failure_shows_the_rule(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(UNTIDY)
    run = kit(tmp_path, "test_it.py", "-k", "test_breaks_a_rule")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"-+ contract -+\nMessages come once\.\n", run.stdout)
