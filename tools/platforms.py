"""Fill the tables of docs/platforms.md with the outcomes of the last runs of the conformance kit.

    python tools/platforms.py

reads the reports that tools/kit_report.py wrote into .cache/kit during `make test-all`. Every row
needs its report, and all must be of one kit. Reports of the hosted workflow, put beside them, make
further rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / ".cache" / "kit"
PAGE = ROOT / "docs" / "platforms.md"
BEGIN, END = "<!-- kit -->\n", "<!-- end of kit -->\n"

# The report of each row -> the environment of tox that writes it.
ROWS = {
    **{
        f"py3{minor}-{backend}": f"py3{minor}-{backend}"
        for backend in ("unix", "inprocess")
        for minor in (10, 11, 12, 13)
    },
    "windows-windows": "windows",
    "windows-inprocess": "windows",
    "pyodide-inprocess": "wasm",
    "wasi-inprocess": "wasm",
    "macos": "macos",
}


@dataclass(frozen=True)
class Row:
    """One run of the kit, with the fields of its report."""

    backend: str
    interpreter: str
    system: str
    passed: int
    failed: int
    skipped: Mapping[str, int]
    kit: str

    @property
    def place(self) -> str:
        """The system, in words that do not pass the fake Mach kernel off as macOS."""
        if self.backend == "macos" and not self.system.startswith("macOS"):
            return f"a fake Mach kernel on {self.system}"
        return self.system


def load(folder: Path) -> list[Row]:
    """Return the rows in their order.

    Raises SystemExit when one is missing, or the reports are of different kits.
    """
    missing = {env for name, env in ROWS.items() if not (folder / f"{name}.json").exists()}
    if missing:
        raise SystemExit(f'no whole run yet: make test ARGS="-e {",".join(sorted(missing))}"')
    names = [*ROWS, *sorted(path.stem for path in folder.glob("hosted-*.json"))]
    rows = [Row(**json.loads((folder / f"{name}.json").read_text("utf-8"))) for name in names]
    if len({row.kit for row in rows}) > 1:
        raise SystemExit("reports of different versions of the kit: run make test-all again")
    return rows


def counts(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table of passed, skipped and failed tests."""
    lines = [
        "| backend | run on | interpreter | passed | skipped | failed |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        skipped = sum(row.skipped.values())
        lines.append(
            f"| `{row.backend}` | {row.place} | {row.interpreter} "
            f"| {row.passed} | {skipped} | {row.failed} |"
        )
    return lines


def reasons(skipped: Mapping[str, int]) -> str:
    """Return the reasons why tests were skipped, with counts: unclaimed capabilities first."""
    claims, others = [], []
    for reason, count in skipped.items():
        claim = re.fullmatch(r"\w+ does not claim (\w+)", reason)
        if claim:
            claims.append(f"`{claim[1]}` {count}")
        else:
            others.append(f"{reason} {count}")
    parts = [f"not claimed: {', '.join(claims)}"] * bool(claims) + others
    return "; ".join(parts) or "none"


def explanations(rows: Iterable[Row]) -> list[str]:
    """Return a line for each backend, place and set of reasons."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        key = row.backend, row.place, reasons(row.skipped)
        found.setdefault(key, []).append(row.interpreter)
    return [
        f"- `{backend}` on {place}, {', '.join(interpreters)}: {text}."
        for (backend, place, text), interpreters in found.items()
    ]


def main() -> None:
    rows = load(REPORTS)
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    body = [*counts(rows), "", "Skipped were:", "", *explanations(rows)]
    PAGE.write_text(before + BEGIN + "\n".join(body) + "\n" + END + after, "utf-8")
    failed = sum(row.failed for row in rows)
    print(f"{PAGE.relative_to(ROOT)}: {len(rows)} runs, {failed} tests failed")


if __name__ == "__main__":
    main()
