"""Each folder with a pyproject.toml is a distribution that installs alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest
from docs.test_docs import BACKEND_PAGE, commands, write_files

pytest.importorskip("hatchling", reason="it builds the wheels")

REPO = Path(__file__).parents[2]
FOLDERS = {
    "ipc_core": REPO,
    "ipc_backend_unix": REPO / "backends/unix",
    "ipc_backend_inprocess": REPO / "backends/inprocess",
    "ipc_backend_macos": REPO / "backends/macos",
    "ipc_backend_windows": REPO / "backends/windows",
    "ipc_backend_tcp": REPO / "examples/backend-plugin",
    "ipc_codec_json": REPO / "examples/codec-plugin",
}
BUILD = ["-m", "build", "--wheel", "--no-isolation", "--outdir"]
CODEC_KIT = (
    "-m pytest -q -p ipc_core.testing.plugin --pyargs ipc_core.testing.codec_suite --ipc-codec"
)
FEW = "-m pytest -q -p ipc_core.testing.plugin -k test_embedded"
FIVE_LINES = """\
from ipc_core.testing import BackendConformance


class TestTcp(BackendConformance):
    backend = "tcp"
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of each distribution, by the name of its package."""
    built = {}
    for package, folder in FOLDERS.items():
        target = tmp_path_factory.mktemp(package)
        subprocess.run(
            [sys.executable, *BUILD, target, folder],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        (built[package],) = target.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def metadata(wheel: Path, file: str) -> str:
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{file}"))
    return archive.read(name).decode()


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_holds_its_package_and_nothing_else(wheels: dict[str, Path], package: str) -> None:
    found = names(wheels[package])
    assert f"{package}/py.typed" in found
    top = {name.split("/")[0] for name in found}
    assert top == {package, next(t for t in top if t.endswith(".dist-info"))}
    text = metadata(wheels[package], "METADATA")
    assert "License-Expression: MIT OR Apache-2.0" in text
    assert "Requires-Python: >=3.10\n" in text


def test_the_wheel_of_the_core_holds_the_kit(wheels: dict[str, Path]) -> None:
    files = {str(path.relative_to(REPO)) for path in (REPO / "ipc_core").rglob("*.py")}
    assert files <= names(wheels["ipc_core"])
    required = [
        line.split()[1].split(";")[0].rstrip("<>=!~0123456789.,")
        for line in metadata(wheels["ipc_core"], "METADATA").splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert sorted(required) == ["dill", "importlib-metadata", "pluggy"]


@pytest.mark.parametrize("package", [name for name in FOLDERS if "backend" in name])
def test_the_wheel_of_a_backend_needs_the_core_and_announces_itself(
    wheels: dict[str, Path], package: str
) -> None:
    """A backend's wheel holds every module of its source, has one entry point, and needs ipc-core
    alone."""
    files = {str(p.relative_to(FOLDERS[package])) for p in FOLDERS[package].glob(f"{package}/*.py")}
    assert files
    assert files <= names(wheels[package])
    parser = ConfigParser()
    parser.read_string(metadata(wheels[package], "entry_points.txt"))
    name = package.removeprefix("ipc_backend_")
    assert {section: dict(parser[section]) for section in parser.sections()} == {
        "ipc_core.backends": {name: package}
    }
    fields = Parser().parsestr(metadata(wheels[package], "METADATA"))
    assert fields.get_all("Requires-Dist") == ["ipc-core<1,>=0.1"]
    assert fields.get_all("Provides-Extra") is None
    assert fields["Name"] == f"ipc-backend-{name}"


@pytest.mark.parametrize("package", ["ipc_backend_macos", "ipc_backend_windows"])
def test_the_wheel_of_a_backend_that_has_not_run_on_its_system_says_so(
    wheels: dict[str, Path], package: str
) -> None:
    fields = Parser().parsestr(metadata(wheels[package], "METADATA"))
    assert "experimental" in fields["Summary"]
    assert "Development Status :: 2 - Pre-Alpha" in fields.get_all("Classifier", [])


def test_the_core_has_the_extras_that_the_readme_names(wheels: dict[str, Path]) -> None:
    fields = Parser().parsestr(metadata(wheels["ipc_core"], "METADATA"))
    named = re.findall(r"ipc-core\[([\w,]+)\]", (REPO / "README.md").read_text())
    extras = {extra for names in named for extra in names.split(",")}
    assert {"cli", "testing"} <= extras <= set(fields.get_all("Provides-Extra", []))
    assert "ipc-backend" not in " ".join(fields.get_all("Requires-Dist", []))


@pytest.mark.parametrize("package", ["ipc_backend_macos", "ipc_backend_windows"])
def test_the_wheel_of_another_system_says_here_that_it_cannot_be_used(
    wheels: dict[str, Path], package: str, empty: Path, tmp_path: Path
) -> None:
    """Another platform's backend on Linux is listed with a reason, and disturbs nothing."""
    if sys.platform != "linux":
        pytest.skip("it may be usable here")
    core = f"{wheels['ipc_core']}[cli]"
    run(empty, "-m pip install -q", core, wheels[package], cwd=tmp_path)
    listed = run(empty, "-m ipc_core backends", cwd=tmp_path)
    name = package.removeprefix("ipc_backend_")
    assert name in listed
    assert {"macos": "macOS", "windows": "Windows"}[name] in listed


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The python of an environment in which nothing is installed."""
    venv.create(tmp_path / "venv", with_pip=True)
    return tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(python: Path, arguments: str, *paths: Path | str, cwd: Path, **extra: str) -> str:
    done = subprocess.run(
        [python, *arguments.split(), *paths],
        cwd=cwd, env=os.environ | extra, capture_output=True, text=True, timeout=2000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(2400)
def test_a_strangers_plugin_in_an_empty_environment(
    wheels: dict[str, Path], empty: Path, tmp_path: Path
) -> None:
    """The core and the plugin as wheels; the kit by its one command, and by the five lines.

    Its threads in turn wait for each other, which takes ten times as long beside busy processes.
    """
    core = f"{wheels['ipc_core']}[testing]"
    run(empty, "-m pip install -q", core, wheels["ipc_backend_tcp"], cwd=tmp_path)
    readme = (FOLDERS["ipc_backend_tcp"] / "README.md").read_text()
    (command,) = re.findall(r"^python (-m pytest .*)$", readme, re.MULTILINE)
    printed = run(empty, command, cwd=tmp_path, PYTEST_ADDOPTS="--timeout 600")
    assert "claimed, not tested: none\n" in printed
    (tmp_path / "test_mine.py").write_text(FIVE_LINES)
    assert " passed" in run(empty, FEW, "test_mine.py", cwd=tmp_path)


@pytest.mark.timeout(2400)
def test_the_toy_of_the_guide_in_an_empty_environment(
    wheels: dict[str, Path], empty: Path, tmp_path: Path
) -> None:
    """The files of docs/writing-a-backend.md as a distribution; the whole kit, by its command."""
    toy = tmp_path / "toy"
    write_files(BACKEND_PAGE, toy)
    subprocess.run(
        [sys.executable, *BUILD, tmp_path, toy], check=True, capture_output=True, timeout=120
    )
    (wheel,) = tmp_path.glob("*.whl")
    run(empty, "-m pip install -q", f"{wheels['ipc_core']}[testing]", wheel, cwd=tmp_path)
    (command,) = (c for c in commands(BACKEND_PAGE) if c.endswith("--ipc-backend toy"))
    printed = run(empty, command.removeprefix("python "), cwd=tmp_path)
    assert "claimed and tested: UNBOUNDED, PROMPT_DISCONNECT\n" in printed
    assert "claimed, not tested: none\n" in printed
    assert "not installed: msgspec, numpy, trio (" in printed


@pytest.mark.timeout(600)
def test_a_strangers_codec_in_an_empty_environment(
    wheels: dict[str, Path], empty: Path, tmp_path: Path
) -> None:
    """The codec as a wheel; the kit by its one command, and by the five lines of the example."""
    core = f"{wheels['ipc_core']}[cli,testing]"
    run(empty, "-m pip install -q", core, wheels["ipc_backend_inprocess"],
        wheels["ipc_codec_json"], cwd=tmp_path)  # fmt: skip
    passed = run(empty, f"{CODEC_KIT} json", cwd=tmp_path)
    assert " passed" in passed
    assert " failed" not in passed
    five_lines = FOLDERS["ipc_codec_json"] / "tests" / "test_conformance.py"
    (tmp_path / "test_mine.py").write_text(five_lines.read_text())
    assert " passed" in run(empty, "-m pytest -q -p ipc_core.testing.plugin test_mine.py",
                            cwd=tmp_path)  # fmt: skip
    listed = run(empty, "-m ipc_core codecs", cwd=tmp_path)
    assert "ipc-codec-json 0.1.0" in listed
    assert "no: the codec 'msgspec'" in listed  # not installed here
