"""The choice of a backend: by the most specific setting, among those with an entry point."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar, Token

from ipc_core.plugins import entry_points
from ipc_core.spi import Backend
from ipc_core.spi.errors import NoBackendError

ENVIRONMENT_VARIABLE = "IPC_CORE_BACKEND"

_loaded: dict[str, Backend] = {}
_block: ContextVar[str | None] = ContextVar("ipc_core.use_backend", default=None)
_process_default: str | None = None


def backend(choice: str | Backend | None = None) -> Backend:
    """Return the backend to use.

    It is `choice`, or named by `use_backend`, `set_default_backend`, the variable
    IPC_CORE_BACKEND, the platform, or as the only one installed: the first of these that names
    one. Raises NoBackendError, with a hint at the package to install, if it does not work.
    """
    if isinstance(choice, Backend):
        return choice
    name, _ = chosen(choice)
    return _loaded.get(name) or _load(name)


def chosen(choice: str | None = None) -> tuple[str, str]:
    """Return the name of the backend to use and the setting that names it.

    Raises NoBackendError if no setting names one, and not exactly one is installed.
    """
    for name, setting in (
        (choice, "backend="),
        (_block.get(), "use_backend"),
        (_process_default, "set_default_backend"),
        (os.environ.get(ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE),
    ):
        if name:
            return name, setting
    name = platform_backend()
    if name in _loaded or entry_points.entry(name):
        return name, "platform"
    others = entry_points.names()
    if len(others) == 1:
        return others[0], "the only one installed"
    raise NoBackendError(
        f"no backend is installed for {sys.platform}; {_advice(name)}"
        + (
            f" (installed: {', '.join(others)}; choose one by {ENVIRONMENT_VARIABLE})"
            if others
            else ""
        )
    )


def platform_backend() -> str:
    """Return the name of the backend made for this platform."""
    if sys.platform == "darwin":
        return "macos"
    if sys.platform == "win32":
        return "windows"
    if sys.platform in ("emscripten", "wasi"):
        return "inprocess"
    return "unix"


class use_backend:  # noqa: N801  a name for the word after `with`
    """Use a backend for the channels made inside a `with` block, in this thread or task.

    Endpoints that exist already keep theirs. The block raises NoBackendError, before it begins, if
    the backend cannot be used.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._outer: list[Token[str | None]] = []

    def __enter__(self) -> None:
        backend(self._name)
        self._outer.append(_block.set(self._name))

    def __exit__(self, *exc_info: object) -> None:
        _block.reset(self._outer.pop())


def set_default_backend(name: str | None) -> None:
    """Use a backend for the rest of the process, or with None the one of the environment.

    Raises NoBackendError if it cannot be used.
    """
    global _process_default
    if name is not None:
        backend(name)
    _process_default = name


def server_name(found: Backend, kind: str, address: str) -> str:
    """Return the public name of a server: backend, kind and the backend's own address."""
    return f"{found.name}+{kind}:{address}"


def find_server(name: str, kind: str) -> tuple[Backend, str]:
    """Return the backend and the address in a public server name.

    Raises ValueError if it is not one of that kind, NoBackendError if the backend cannot be used.
    """
    scheme, colon, address = name.partition(":")
    backend_name, plus, found_kind = scheme.partition("+")
    if not (colon and plus and backend_name and address) or "\0" in name:
        raise ValueError(f"not the name of a server: {name[:80]!r}")
    if found_kind != kind:
        raise ValueError(f"{name[:80]!r} is the name of a {found_kind!r} server, not {kind!r}")
    return backend(backend_name), address


def _load(name: str) -> Backend:
    """Import a backend, and keep it. Raises NoBackendError, with the reason, if it cannot work."""
    reason: str | None
    try:
        found = entry_points.load(name)
    except NoBackendError as error:
        reason = str(error)
        cause = error.__cause__
    else:
        reason, cause = found.unavailable_reason(), None
        if reason is None:
            return _loaded.setdefault(name, found)
    raise NoBackendError(f"the backend {name!r} cannot be used: {reason}") from cause


def _advice(name: str) -> str:
    return f"try: pip install ipc-backend-{name}"
