"""Parts: durable results that no version holds yet.

A build writes each finished piece of work at once, as a shard in a folder named by its recipe (the
hash of what makes a row from its input). The footer says which inputs it covers, so the next build
asks what is missing instead of reading a checkpoint: resuming after a crash, adding a folder and
changing a model are one and the same operation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from storage import shards
from storage.errors import StoreError
from storage.files import Files
from storage.manifest import NAME, Shard

log = logging.getLogger(__name__)

READERS = 16
"""Threads that read footers: they wait for the disk or the network, not for a core."""


@dataclass(frozen=True)
class Part:
    """Rows of one table, made by one recipe from the inputs that it covers."""

    shard: Shard
    schema: pa.Schema
    covers: tuple[str, ...]
    note: str = ""


def folder(table: str, recipe: str) -> str:
    """Raises: StoreError."""
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
        covers: Ids of the inputs that this is the whole result of, those without rows included.
        note: What its maker wants to know of these inputs besides their rows.

    Raises:
        StoreError: no space, no permission, or nothing is covered.
    """
    if not covers:
        raise StoreError(f"A part of {table} covers no input: name the inputs that it came from.")
    shard, schema = shards.write(files, folder(table, recipe), rows, covers, note)
    return Part(shard, schema, tuple(sorted(covers)), note)


def find(files: Files, table: str, recipe: str) -> list[Part]:
    """All parts of a recipe, in order of their names. What cannot be read is left out, and said."""
    found = sorted(files.find(folder(table, recipe)).items())
    with ThreadPoolExecutor(READERS) as pool:
        parts = pool.map(lambda item: _read(files, *item), found)
        return [part for part in parts if part]


def _read(files: Files, path: str, size: int) -> Part | None:
    try:
        with files.open(path) as handle:
            parquet = pq.ParquetFile(handle)
            footer = parquet.metadata.metadata
            shard = Shard(
                path=path,
                sha256=path.rpartition("/")[2].removesuffix(".parquet"),
                bytes=size,
                rows=parquet.metadata.num_rows,
                content=footer[shards.CONTENT].decode(),
            )
            covers = tuple(json.loads(footer[shards.COVERS]))
            note = footer.get(shards.NOTE, b"").decode()
            return Part(shard, parquet.schema_arrow.remove_metadata(), covers, note)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        log.warning("ignoring %s, which is not a whole part: %s", files.full(path), error)
        return None
