"""The choice of a backend, and the error when there is none."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

import ipc_core
from ipc_core import NoBackendError
from ipc_core.cli import installed
from ipc_core.plugins import choice, entry_points
from ipc_core.spi import BACKENDS_GROUP, CODECS_GROUP, Backend


def plugin(folder: Path, name: str, source: str, *, module: str = "") -> str:
    """Install a made-up backend; return its module's name."""
    module = module or f"made_up_{name}"
    info = folder / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        f"[console_scripts]\nx = y:z\n\n[ipc_core.backends]\n{name} = {module}\n"
    )
    (folder / f"{module}.py").write_text(source)
    return module


GOOD = """
from ipc_core.spi import Backend, Capability, hookimpl
class Mine(Backend):
    name = "{name}"
    capabilities = Capability(0)
    {body}
@hookimpl
def ipc_core_backend():
    return Mine()
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path into which made-up plugins are installed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(choice.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(choice, "_loaded", {})
    monkeypatch.setattr(entry_points, "_references", {})
    return tmp_path


def test_the_most_specific_setting_wins(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three", "four"):
        plugin(site, name, GOOD.format(name=name, body=""))
    assert choice.chosen() == (choice.platform_backend(), "platform")
    monkeypatch.setenv(choice.ENVIRONMENT_VARIABLE, "one")
    assert choice.backend().name == "one"
    ipc_core.set_default_backend("two")
    try:
        assert choice.backend().name == "two"
        with ipc_core.use_backend("three"):
            assert choice.backend().name == "three"
            assert choice.backend("four").name == "four"
            with ipc_core.use_backend("one"):
                assert choice.backend().name == "one"
            assert choice.backend().name == "three"
        assert choice.backend().name == "two"
    finally:
        ipc_core.set_default_backend(None)
    assert choice.backend().name == "one"


def test_a_block_is_for_its_thread_only(site: Path) -> None:
    plugin(site, "one", GOOD.format(name="one", body=""))
    seen: list[str] = []
    with ipc_core.use_backend("one"):
        thread = threading.Thread(target=lambda: seen.append(choice.chosen()[1]))
        thread.start()
        thread.join()
    assert seen == ["platform"]


def test_the_only_one_installed_is_used(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "platform_backend", lambda: "nowhere")
    monkeypatch.setattr(entry_points, "names", lambda: ["one"])
    plugin(site, "one", GOOD.format(name="one", body=""))
    assert choice.backend().name == "one"


def test_several_and_none_for_the_platform(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "platform_backend", lambda: "nowhere")
    with pytest.raises(NoBackendError, match=r"pip install ipc-backend-nowhere .*IPC_CORE_BACKEND"):
        choice.backend()


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("broken", "raise ImportError('no such library')", "no such library"),
        ("hookless", "", "ipc_core_backend"),
        ("future", GOOD.format(name="future", body="spi_version = 99"), "SPI version 99"),
        ("liar", GOOD.format(name="other", body=""), "calls itself 'other'"),
        ("notone", "from ipc_core.spi import hookimpl\n@hookimpl\ndef ipc_core_backend(): return 7",
         "SPI version None"),
        ("far", GOOD.format(name="far", body="def unavailable_reason(self): return 'no mach here'"),
         "no mach here"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_used_says_why(
    site: Path, name: str, source: str, reason: str
) -> None:
    plugin(site, name, source)
    with pytest.raises(NoBackendError, match=reason):
        ipc_core.channel(backend=name)
    row = {found.name: found for found in installed.installed_backends()}[name]
    assert (row.distribution, row.version) == (f"made_up_{name}", "1.2")
    assert row.reason is not None
    assert name == "hookless" or reason in row.reason
    tx, rx = ipc_core.channel(backend="inprocess")
    tx.close()
    rx.close()


def test_a_name_that_is_not_installed(site: Path) -> None:
    with pytest.raises(NoBackendError, match="pip install ipc-backend-carrier-pigeon"):
        ipc_core.channel(backend="carrier-pigeon")


def test_pluggys_own_marker_works_too(site: Path) -> None:
    source = GOOD.format(name="classic", body="").replace(
        "@hookimpl", "import pluggy\n@pluggy.HookimplMarker('ipc_core')"
    )
    plugin(site, "classic", source)
    assert {found.name: found for found in installed.installed_backends()}["classic"].reason is None


def test_both_routes_to_a_plugin_agree() -> None:
    for group, some in (
        (BACKENDS_GROUP, {"unix", "inprocess"}),
        (CODECS_GROUP, {"pickle", "msgspec"}),
    ):
        points = {point.name: point.value for point in entry_points.points(group)}
        assert some <= set(points)
        for name, value in points.items():
            assert entry_points._scan(name, group) == value


def test_a_backend_object_can_be_passed() -> None:
    tx, rx = ipc_core.channel(backend=choice.backend("inprocess"))
    with tx, rx:
        assert tx._backend.name == "inprocess"


def test_what_a_backend_lacks_is_said() -> None:
    class Bare(Backend):
        name = "bare"

    for call in ("channel", "receiver_set", "one_shot_server"):
        with pytest.raises(ipc_core.NotSupportedError, match="the bare backend has no"):
            getattr(Bare(), call)()


@pytest.mark.parametrize(
    "name",
    ["", "x", "unix", "unix+once", "unix+once:", "+once:x", "unix:x", "a\0+once:x", "x" * 500],
)
def test_a_text_that_is_no_servers_name(name: str) -> None:
    with pytest.raises(ValueError, match="name of a server"):
        ipc_core.IpcSender.connect(name)


def test_the_wrong_kind_of_server() -> None:
    with pytest.raises(ValueError, match="'serve' server"):
        ipc_core.IpcSender.connect("unix+serve:/tmp/x")


def test_a_server_of_a_backend_that_is_not_installed() -> None:
    with pytest.raises(NoBackendError, match="pip install ipc-backend-pigeon"):
        ipc_core.IpcSender.connect("pigeon+once:x")


def test_the_platform_names(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"linux": "unix", "freebsd14": "unix", "sunos5": "unix", "darwin": "macos",
                "win32": "windows", "emscripten": "inprocess", "wasi": "inprocess"}  # fmt: skip
    for platform, name in expected.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert choice.platform_backend() == name
