"""`python -m ipc_core` and the console script `ipc-core`."""

from __future__ import annotations

import sys

_NEEDED = ("click", "rich", "typer")


def main() -> int:
    """Run the command line; return its exit status. 2 without a package that it needs."""
    try:
        from ipc_core.cli import commands

        return commands.main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        print(
            "the command line needs typer and rich; try: pip install 'ipc-core[cli]'",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
