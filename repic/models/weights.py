"""Files of weights: where they are looked for, and the hash that a fingerprint knows them by."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from repic.config import cache_folder
from repic.errors import WeightsError


def find(checkpoint: str, setting: str, where_from: str) -> Path:
    """A file of weights by its path, or by its name inside `CACHE/weights`.

    Args:
        setting: The setting that names it, for the error.
        where_from: A sentence for the error: where such files come from.

    Raises:
        WeightsError: there is no such file.
    """
    folder = cache_folder() / "weights"
    for candidate in (Path(checkpoint).expanduser(), folder / checkpoint):
        if candidate.is_file():
            return candidate.resolve()
    raise WeightsError(
        f"there is no weights file {checkpoint} ({setting}): give its path, or put it into "
        f"{folder}. {where_from}"
    )


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex; remembered while the file's size and time stay as they are."""
    facts = path.stat()
    return _sha256(str(path.resolve()), facts.st_size, facts.st_mtime_ns)


def sha256_of_folder(folder: Path) -> dict[str, str]:
    """SHA-256 of every file directly in a model's folder, by file name.

    Raises:
        WeightsError: there is no such folder, or nothing is in it.
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
