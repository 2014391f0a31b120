"""Readers of a version: as Arrow table, DuckDB relation, `datasets.Dataset`, or files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset
from pyarrow import fs as arrow_fs

from storage.errors import StoreError
from storage.files import Files
from storage.manifest import Manifest
from storage.sql import escape_glob

if TYPE_CHECKING:
    import datasets
    import duckdb
    import pyarrow.compute as pc


def read_table(
    files: Files,
    paths: Iterable[str],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Read Parquet files into one Arrow table, in the order of the files.

    Args:
        where: Keep only matching rows.

    Raises:
        StoreError: a file is missing, or a column is unknown.
    """
    if unknown := sorted(set(columns or ()) - set(schema.names)):
        raise StoreError(f"No column {', '.join(unknown)}: there are {', '.join(schema.names)}.")
    source = arrow_fs.LocalFileSystem() if files.local else arrow_fs.FSSpecHandler(files.fs)
    try:
        return pyarrow.dataset.dataset(
            [files.full(path) for path in paths],
            schema=schema,
            format="parquet",
            filesystem=source if files.local else arrow_fs.PyFileSystem(source),
        ).to_table(columns=list(columns) if columns is not None else None, filter=where)
    except FileNotFoundError as error:
        raise StoreError(f"A shard is gone ({error}): run verify, then build again.") from error


def paths(manifest: Manifest) -> list[str]:
    """Paths of a table's files, relative to the store.

    Raises:
        StoreError: the version is not a table.
    """
    if manifest.kind != "table":
        tables = ", ".join(str(i.ref) for i in manifest.inputs)
        hint = f"read one of {tables}" if manifest.kind == "dataset" else "use checkout"
        raise StoreError(f"{manifest.ref} is a {manifest.kind}, not a table: {hint}.")
    return [shard.path for shard in manifest.shards]


def relation(
    files: Files, manifest: Manifest, connection: duckdb.DuckDBPyConnection | None
) -> duckdb.DuckDBPyRelation:
    """A lazy DuckDB relation over a table's files.

    Raises:
        StoreError: the version is not a table.
    """
    import duckdb

    connection = connection or duckdb.connect()
    if not files.local and not connection.filesystem_is_registered(_protocol(files)):
        connection.register_filesystem(files.fs)
    return connection.read_parquet([escape_glob(files.url(path)) for path in paths(manifest)])


def dataset(files: Files, manifest: Manifest, columns: Sequence[str] | None) -> datasets.Dataset:
    """A `datasets.Dataset` that wraps the Arrow table without copying its rows."""
    import datasets

    table = read_table(files, paths(manifest), manifest.schema_arrow, columns)
    return datasets.Dataset(table, fingerprint=manifest.content)


def checkout(files: Files, manifest: Manifest, folder: Path) -> Path:
    """Copy the files of a checkpoint or report into a folder.

    Raises:
        StoreError: it has no files.
    """
    if not manifest.files:
        raise StoreError(f"{manifest.ref} is a {manifest.kind} without files: use read.")
    for file in manifest.files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        files.fs.get_file(files.full(file.path), str(target))
    return folder


def _protocol(files: Files) -> str:
    protocol = files.fs.protocol
    return protocol if isinstance(protocol, str) else protocol[0]
