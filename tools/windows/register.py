"""Write the metadata, with entry points, of editable installs of this repository's packages.

The files go to .cache/windows/site, which python.sh puts on the path. The Windows Python runs this.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".cache" / "windows" / "site"
DISTRIBUTIONS = (ROOT, ROOT / "backends" / "windows", ROOT / "backends" / "inprocess")


def register(folder: Path) -> None:
    """Write the .dist-info of the distribution in `folder`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    version = project.get("version", "0")
    info = SITE / f"{project['name'].replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, "utf-8")
    lines = []
    for group, points in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")


shutil.rmtree(SITE, ignore_errors=True)
for distribution in DISTRIBUTIONS:
    register(distribution)
