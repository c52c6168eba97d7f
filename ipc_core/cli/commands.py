"""The commands of `ipc-core`. Wrong use is one line on stderr and exit status 2."""

from __future__ import annotations

import io
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from ipc_core.spi.errors import IpcError, NoBackendError, NotSupportedError

PROGRAM = "ipc-core"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class WrongUse(Exception):
    """A use that cannot succeed; the text, one line, says which one can."""


def main(args: Sequence[str]) -> int:
    """Run one command, or show the help if there is none; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    command = typer.main.get_command(app)
    try:
        status = command.main(args or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except (WrongUse, NoBackendError, NotSupportedError) as error:
        return _fail(str(error), 2)
    except Exception as error:
        # Errors of usage are exceptions of click, or of typer's private copy of click.
        text = getattr(error, "format_message", None)
        if text is None:
            raise
        return _fail(text(), 2)
    return status if isinstance(status, int) else 0


@app.callback()
def _commands() -> None:
    """Channels between processes."""


@app.command()
def demo(
    path: Annotated[
        Optional[Path],
        typer.Argument(
            exists=True,
            help="The folder, or the one file, to hash. Default: Python's standard library.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes hash.")] = 3,
    kill_one: Annotated[
        bool,
        typer.Option("--kill-one", help="Kill a worker half-way; the others redo its files."),
    ] = False,
) -> int:
    """Hash every file of a folder in worker processes.

    Files travel as shared memory, each with the sender for its answer. Symbolic links are not
    followed, files over 1 GiB are skipped. Exit status 1 means that an answer was wrong.
    """
    from ipc_core.cli.demo import view
    from ipc_core.cli.demo.pool import DemoError, check_backend

    if kill_one and workers == 1:
        raise WrongUse("--kill-one needs at least 2 workers: nobody would be left")
    root = os.fspath(path) if path is not None else sysconfig.get_path("stdlib")
    if not (os.path.isdir(root) or os.path.isfile(root)):
        raise WrongUse(f"{root!r} is neither a folder nor a regular file")
    check_backend()
    try:
        return view.show(root, workers, kill_one=kill_one)
    except KeyboardInterrupt:
        return 130
    except (DemoError, IpcError) as error:
        return _fail(str(error), 1)


@app.command()
def backends() -> int:
    """List the installed backends: capabilities, whether they work here, and which is chosen."""
    from ipc_core.cli.tables import show_backends

    return show_backends()


@app.command()
def codecs() -> int:
    """List the installed codecs: whether a received message runs code, whether they work here."""
    from ipc_core.cli.tables import show_codecs

    return show_codecs()


@app.command()
def doctor() -> int:
    """Show the limits of this system that programs run into. Exit status 1 if one is too low."""
    from ipc_core.cli.tables import show_limits

    return show_limits()


def _fail(text: str, status: int) -> int:
    """Print an error as one line on stderr; return the exit status."""
    print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)
    return status
