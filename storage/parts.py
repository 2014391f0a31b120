"""Parts: durable results that need not belong to a version yet.

A build writes each finished shard immediately, in a folder named by its recipe (the hash of
everything that maps an input to rows). The footer lists the inputs that it covers, so a later build
computes only inputs that no part covers: resuming after a crash, adding photos and changing a model
are the same operation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from storage import intact, shards
from storage.errors import StoreError
from storage.files import Files, Stored
from storage.manifest import NAME, Shard

log = logging.getLogger(__name__)

READERS = 16
"""Threads that read footers; they wait for I/O, so more than the number of cores."""


@dataclass(frozen=True)
class Part:
    """Rows of one table, computed by one recipe from the inputs `covers`."""

    shard: Shard
    schema: pa.Schema
    covers: tuple[str, ...]
    note: str = ""


def folder(table: str, recipe: str) -> str:
    """Folder of the parts of a recipe. Raises: StoreError."""
    if not NAME.fullmatch(table) or not recipe.isalnum():
        raise StoreError(
            f"A part needs a table name and a hash as recipe, not {table!r} and {recipe!r}."
        )
    return f"parts/{table}/{recipe}"


def write(
    files: Files, table: str, recipe: str, rows: pa.Table, covers: Sequence[str], note: str = ""
) -> Part:
    """Write a part.

    Args:
        covers: Ids of the inputs whose complete result this is, including those without rows.
        note: Further information about these inputs; opaque to the store.

    Raises:
        StoreError: no space, no permission, or nothing is covered.
    """
    if not covers:
        raise StoreError(
            f"A part of {table} covers no input: name the inputs that it was computed from."
        )
    shard, schema = shards.write(files, folder(table, recipe), rows, covers, note)
    return Part(shard, schema, tuple(sorted(covers)), note)


def find(files: Files, table: str, recipe: str) -> list[Part]:
    """All intact parts of a recipe, ordered by path. Others are skipped with a warning."""
    found = _every(files, table, recipe)
    for path, part in found.items():
        if isinstance(part, str):
            log.warning("ignoring %s, which is not a complete part: %s", files.full(path), part)
    return [part for part in found.values() if isinstance(part, Part)]


def set_aside(files: Files, table: str, recipe: str) -> dict[str, str]:
    """Set aside the files among the parts of a recipe that are no intact part.

    A file that cannot be read now, for example for lack of permission, stays.

    Returns:
        Path -> what is wrong, of all these files.

    Raises:
        StoreError: no permission.
    """
    found = _every(files, table, recipe)
    wrong = {path: part for path, part in found.items() if isinstance(part, str)}
    for path, what in wrong.items():
        if what != intact.GONE and not what.startswith(intact.UNREADABLE):
            intact.set_aside(files, path)
    return wrong


def _every(files: Files, table: str, recipe: str) -> dict[str, Part | str]:
    sizes = sorted(files.find(folder(table, recipe)).items())
    with ThreadPoolExecutor(READERS) as pool:
        parts = pool.map(lambda item: _read(files, *item), sizes)
        return dict(zip((path for path, _ in sizes), parts, strict=True))


def _read(files: Files, path: str, size: int) -> Part | str:
    """The part in a file, or what is wrong with it. The file is hashed once per process."""
    sha256 = path.rpartition("/")[2].removesuffix(".parquet")
    if wrong := intact.fault(files, Stored(path, sha256, size)):
        return wrong
    try:
        with files.open(path) as handle:
            parquet = pq.ParquetFile(handle)
            footer = parquet.metadata.metadata or {}
            shard = Shard(
                path=path,
                sha256=sha256,
                bytes=size,
                rows=parquet.metadata.num_rows,
                content=footer[shards.CONTENT].decode(),
            )
            covers = tuple(json.loads(footer[shards.COVERS]))
            note = footer.get(shards.NOTE, b"").decode()
            schema = parquet.schema_arrow.remove_metadata()
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    if not all(isinstance(key, str) for key in covers):
        return "it covers keys that are no text"
    return Part(shard, schema, covers, note)


def adopt(name: str, parts: Sequence[Part]) -> tuple[tuple[Shard, ...], pa.Schema]:
    """Distinct shards of parts in order of their paths, and their common schema."""
    first = parts[0]
    for part in parts:
        if not part.schema.equals(first.schema):
            raise StoreError(
                f"Parts of {name} have different columns ({part.shard.path}, {first.shard.path}): "
                "change the recipe of the code that writes them."
            )
    unique = {part.shard.path: part.shard for part in parts}
    return tuple(unique[path] for path in sorted(unique)), first.schema
