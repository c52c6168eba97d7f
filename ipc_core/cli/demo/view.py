"""The view of a job: a progress bar on stderr while it runs, a table on stdout when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ipc_core.cli.demo.files import find_files
from ipc_core.cli.demo.job import Job, Report
from ipc_core.cli.demo.pool import pool

_LISTED = 10
"""The most skipped files that are named; the others are counted."""


def show(root: str, workers: int, *, kill_one: bool) -> int:
    """Run the job on `root` and show it; return the exit status, 1 if an answer was wrong."""
    unlisted: list[tuple[str, str]] = []
    files = list(find_files(root, lambda path, reason: unlisted.append((path, reason))))
    columns = (TextColumn("hashing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    errors = Console(stderr=True)
    bar = Progress(*columns, console=errors, transient=True)
    task = bar.add_task("", total=len(files))
    with (
        _no_ctrl_c_lost() as check,
        pool(workers) as (received, members),
        bar if errors.is_terminal else nullcontext(),
    ):

        def progress(done: int) -> None:
            check()
            bar.update(task, completed=done)

        report = Job(files, received, members, kill_one=kill_one).run(progress)
    report.skipped[:0] = unlisted
    console = Console()
    console.print(_table(report))
    for line in _remarks(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 1 if report.mismatched else 0


@contextmanager
def _no_ctrl_c_lost() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if Python dropped one in the block.

    Python drops one that comes while a `__del__` runs.
    """
    lost: list[BaseException] = []
    before = sys.unraisablehook

    def keep(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            lost.append(unraisable.exc_value)
        else:
            before(unraisable)

    def check() -> None:
        if lost:
            raise KeyboardInterrupt

    sys.unraisablehook = keep
    try:
        yield check
    finally:
        sys.unraisablehook = before


def _table(report: Report) -> Table:
    table = Table()
    table.add_column("worker")
    for heading in ("files", "MB", "MB/s"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for worker in report.workers:
        table.add_row(
            str(worker.pid), *_amounts(worker.files, worker.bytes, worker.seconds), worker.ending
        )
    table.add_section()
    files = sum(worker.files for worker in report.workers)
    size = sum(worker.bytes for worker in report.workers)
    table.add_row("total", *_amounts(files, size, report.seconds), f"{report.seconds:.2f} s")
    return table


def _amounts(files: int, size: int, seconds: float) -> tuple[str, str, str]:
    rate = size / seconds / 1e6 if seconds else 0.0
    return f"{files:,}", f"{size / 1e6:,.1f}", f"{rate:,.1f}"


def _remarks(report: Report) -> Iterable[str]:
    """Yield the lines below the table."""
    if report.redone:
        yield f"{report.redone} files of a dead worker were redone by the others"
    for path in report.mismatched:
        yield f"wrong digest: {path!r}"
    for path, reason in report.skipped[:_LISTED]:
        yield f"skipped {path!r}: {reason}"
    if len(report.skipped) > _LISTED:
        yield f"skipped {len(report.skipped) - _LISTED} more"
    verdict = f"{len(report.mismatched)} are wrong" if report.mismatched else "all are right"
    yield f"checked every digest: {verdict}; {len(report.skipped)} files skipped"
