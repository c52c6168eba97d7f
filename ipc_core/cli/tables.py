"""The tables of `ipc-core backends`, `codecs` and `doctor`: installed plugins, and limits."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ipc_core.cli import installed
from ipc_core.plugins import choice
from ipc_core.spi import Backend
from ipc_core.spi.errors import NoBackendError


def show_backends() -> int:
    """Print a row for each installed backend, usable or not, and the one that is chosen."""
    table = _table("backend", "distribution", "capabilities", "usable")
    for plugin in installed.installed_backends():
        table.add_row(
            plugin.name,
            f"{plugin.distribution} {plugin.version}",
            _capabilities(plugin.backend),
            _usable(plugin),
        )
    console = _console()
    console.print(table)
    try:
        name, setting = choice.chosen()
        choice.backend(name)
    except NoBackendError as error:
        console.print(f"none can be used: {error}")
    else:
        console.print(f"{name} is chosen, by {_explained(setting)}")
    return 0


def show_codecs() -> int:
    """Print a row for each installed codec, usable or not."""
    table = _table("codec", "distribution", "a message", "usable")
    for plugin in installed.installed_codecs():
        table.add_row(
            plugin.name,
            f"{plugin.distribution} {plugin.version}",
            "" if plugin.codec is None else "runs code" if plugin.codec.runs_code else "is data",
            "yes" if plugin.reason is None else f"no: {plugin.reason}",
        )
    _console().print(table)
    return 0


def show_limits() -> int:
    """Print the limits that matter to the chosen backend, with a hint for each that is too low.

    Returns the exit status, 1 if a limit is too low. Raises NoBackendError when no backend can be
    used.
    """
    backend = choice.backend()
    table = _table("limit", "here", "hint", title=f"limits of the {backend.name} backend")
    findings = list(backend.checkup())
    for subject, value, hint in findings:
        table.add_row(subject, value, hint or "fine")
    console = _console()
    if findings:
        console.print(table)
    else:
        console.print(f"the {backend.name} backend depends on no limit of this system")
    return 1 if any(hint for _, _, hint in findings) else 0


def _table(*headings: str, title: str | None = None) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading)
    return table


def _console() -> Console:
    return Console(markup=False, highlight=False, soft_wrap=True)


def _usable(plugin: installed.InstalledBackend) -> str:
    """Return yes, or no with the reason, and the backend's remark."""
    text = "yes" if plugin.reason is None else f"no: {plugin.reason}"
    remark = plugin.backend and plugin.backend.remark
    return f"{text} ({remark})" if remark else text


def _capabilities(backend: Backend | None) -> str:
    """Return the names of a backend's capabilities in words."""
    if backend is None:
        return ""
    names = [flag.name or "" for flag in type(backend.capabilities) if flag in backend.capabilities]
    return ", ".join(name.lower().replace("_", " ") for name in names)


def _explained(setting: str) -> str:
    """Name the setting by which a backend was chosen, as the rest of a sentence."""
    if setting == choice.ENVIRONMENT_VARIABLE:
        return f"the variable {setting}"
    if setting == "platform":
        return "this platform"
    return "being the only one installed"
