"""Whether the files of a version are there with the bytes that its manifest names.

A file is hashed once per process, size and time of change, so that a build may ask as often as it
likes. `verify` hashes every file anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain, count

from storage.errors import DamagedError, store_errors
from storage.files import Files, Stored
from storage.manifest import File, Shard

CHUNK = 1 << 20
READERS = 16
"""Threads that hash files; hashing releases the interpreter lock."""

GONE, CHANGED, UNREADABLE = "it is gone", "its bytes have changed", "it cannot be read"

ASIDE = "damaged"
"""Folder of a store for damaged files that were replaced; nothing reads or deletes them."""


def fault(files: Files, part: Shard | File | Stored, *, anew: bool = False) -> str | None:
    """What is wrong with a file; None if it is intact.

    Args:
        anew: Hash it also if this process has hashed it before.
    """
    path = files.full(part.path)
    try:
        if files.fs.info(path)["size"] != part.bytes:
            return CHANGED
        digest = files.sha256 if anew else partial(_sha256, files, files.fs.checksum(path))
        return None if digest(part.path) == part.sha256 else CHANGED
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError as error:
        return f"{UNREADABLE}: {error.strerror or error}"


def faults(files: Files, parts: Iterable[Shard | File]) -> dict[str, str]:
    """Path -> what is wrong, of all files that are not intact."""
    distinct = {part.path: part for part in parts}
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda part: fault(files, part), distinct.values())
        return {path: what for path, what in zip(distinct, found, strict=True) if what}


def check(files: Files, parts: Iterable[Shard | File]) -> None:
    """Raises: DamagedError: one of the files is not intact."""
    for path, what in faults(files, parts).items():
        raise DamagedError(files.full(path), what)


def set_aside(files: Files, path: str) -> str:
    """Move a damaged file to `damaged/`, where nothing reads it; returns its new path.

    A later file of the same name gets a number: `damaged/<path>`, `damaged/<path>.2` ...

    Raises:
        StoreError: no permission.
    """
    names = chain([f"{ASIDE}/{path}"], (f"{ASIDE}/{path}.{number}" for number in count(2)))
    target = next(name for name in names if not files.fs.exists(files.full(name)))
    with store_errors(files.full(target)), suppress(FileNotFoundError):  # another process did it
        files.fs.makedirs(files.full(target).rpartition("/")[0], exist_ok=True)
        files.fs.mv(files.full(path), files.full(target))
    return target


@lru_cache(maxsize=1 << 17)
def _sha256(files: Files, version: int, path: str) -> str:
    """SHA-256 of a file; `version` changes with its size, time of change, or ETag."""
    return files.sha256(path)
