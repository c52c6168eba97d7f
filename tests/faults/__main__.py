"""Fill the table of docs/reliability.md."""

from __future__ import annotations

import sys
from pathlib import Path

from faults import load

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"


def main(scale: float) -> int:
    rows = [
        "| fault | runs | accepted and lost | leaked | worst wait | allowed |",
        "|---|---|---|---|---|---|",
    ]
    failed = 0
    for fault in load():
        outcome = fault.run(max(1, round(fault.runs * scale)))
        rows.append(
            f"| {fault.text} | {outcome.runs} | {outcome.lost} | {outcome.leaked} "
            f"| {outcome.worst:.2f} s | {fault.within:g} s |"
        )
        print(rows[-1], flush=True)
        failed += bool(outcome.lost or outcome.leaked or outcome.worst > fault.within)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n".join(rows) + "\n" + END + after)
    return failed


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
