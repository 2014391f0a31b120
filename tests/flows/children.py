"""Who is still there."""

from __future__ import annotations

from pathlib import Path


def users_of(folder: Path) -> dict[int, str]:
    """Process id -> command line, of those whose Prefect keeps its files below this folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={folder}".encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended while we looked, or belongs to somebody else
            continue
    return found
