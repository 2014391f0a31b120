"""Weights files: their location and their hash."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from repic.config import cache_folder
from repic.errors import WeightsError


def folder() -> Path:
    """Folder for weights files that are named without a path."""
    return cache_folder() / "weights"


def find(checkpoint: str, setting: str, where_from: str) -> Path:
    """Locate a weights file by its path, or by its name in `CACHE/weights`.

    Args:
        setting: The setting that names the file, for the error message.
        where_from: Where such files come from, a sentence for the error message.

    Raises:
        WeightsError: the file does not exist.
    """
    for candidate in (Path(checkpoint).expanduser(), folder() / checkpoint):
        if candidate.is_file():
            return candidate.resolve()
    raise WeightsError(
        f"there is no weights file {checkpoint} ({setting}): give its path, or put it into "
        f"{folder()}. {where_from}"
    )


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex; cached until its size or modification time changes."""
    status = path.stat()
    return _sha256(str(path.resolve()), status.st_size, status.st_mtime_ns)


def sha256_of_folder(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of every file directly in a model folder.

    Raises:
        WeightsError: the folder does not exist or is empty.
    """
    if not folder.is_dir():
        raise WeightsError(f"there is no model folder {folder}")
    hashes = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.is_file()}
    if not hashes:
        raise WeightsError(f"the model folder {folder} is empty")
    return hashes


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
