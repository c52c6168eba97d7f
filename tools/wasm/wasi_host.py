"""Runs pytest in CPython for WASI: `wasi_host.py BUILD PROJECT [pytest arguments]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import wasmtime
from wasmtime import component

TOOLS = Path(__file__).parent


def main(build: Path, project: Path, arguments: list[str]) -> int:
    config = wasmtime.Config()
    config.cache = True
    engine = wasmtime.Engine(config)
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("tmp", "dev"):
            Path(scratch, name).mkdir()
        Path(scratch, "dev/null").touch()  # WASI has none; pytest and dill open it
        wasi = wasmtime.WasiConfig()
        wasi.inherit_stdout()
        wasi.inherit_stderr()
        wasi.env = [("TMPDIR", "/tmp"), ("HOME", "/tmp")]
        for host, guest in (
            (build / "lib", "/lib"),
            (build / "packages", "/packages"),
            (build / "ours", "/ours"),
            (TOOLS, "/tools"),
            (project, "/project"),
        ):
            wasi.preopen_dir(str(host), guest, fs_mutable=False)
        reports = project / ".cache"
        reports.mkdir(exist_ok=True)
        wasi.preopen_dir(str(reports), "/project/.cache")
        for name in ("tmp", "dev"):
            wasi.preopen_dir(str(Path(scratch, name)), f"/{name}")
        store = wasmtime.Store(engine)
        store.set_wasi(wasi)
        linker = component.Linker(engine)
        linker.add_wasip2()
        guest = component.Component.from_file(engine, str(build / "guest.wasm"))
        run = linker.instantiate(store, guest).get_func(store, "run")
        assert run is not None
        return int(run(store, arguments))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
