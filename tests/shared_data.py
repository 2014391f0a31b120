"""Data beside the clone, such as `../shared/data/dreambooth`; without it, tests are skipped."""

from __future__ import annotations

from pathlib import Path


def shared_folder(name: str) -> Path | None:
    """The folder `shared/data/NAME` beside the clone, or None."""
    folders = (parent / "shared" / "data" / name for parent in Path(__file__).resolve().parents)
    return next((folder for folder in folders if folder.is_dir()), None)
