"""The package asks of the platform only things that WebAssembly has too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import ipc_backend_inprocess
import pytest
from ipc_backend_inprocess import waiting

PACKAGE = Path(ipc_backend_inprocess.__file__).parent
ALLOWED = {
    *("__future__", "abc", "collections", "errno", "os", "sys", "threading", "time", "weakref"),
    *("ipc_core", "ipc_backend_inprocess"),
}
MISSING = ("_socket", "select", "mmap", "ctypes", "fcntl", "multiprocessing", "_posixsubprocess")


def test_imports_only_what_every_platform_has() -> None:
    for path in PACKAGE.glob("*.py"):
        tree = ExceptForTypes().visit(ast.parse(path.read_text()))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= ALLOWED, path


class ExceptForTypes(ast.NodeTransformer):
    """Leaves out the blocks that only a type checker runs."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if getattr(node.test, "id", "") == "TYPE_CHECKING" else node


@pytest.mark.skipif(not waiting.THREADS, reason="no processes on this platform")
def test_works_where_the_system_modules_are_missing() -> None:
    program = f"""
import sys
sys.path[:] = {sys.path!r}
for name in {MISSING!r}:
    sys.modules[name] = None
from ipc_backend_inprocess import waiting
from ipc_backend_inprocess.backend import InprocessBackend
waiting.THREADS = False
tx, rx = InprocessBackend().channel()
tx.send([b"he", memoryview(b"llo")], [tx])
data, (copy,) = rx.recv(None)
print(data.decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("hello\n", "")
