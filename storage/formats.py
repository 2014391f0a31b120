"""Readers of a version: as Arrow table, DuckDB relation, `datasets.Dataset`, or files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset
from pyarrow import fs as arrow_fs

from storage import intact
from storage.errors import DamagedError, NotFoundError, StoreError, store_errors
from storage.files import Files
from storage.manifest import File, Manifest
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
    wanted = _wanted(schema, columns)
    with _missing_shards():
        return _dataset(files, paths, schema).to_table(columns=wanted, filter=where)


def read_batches(
    files: Files,
    paths: Iterable[str],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
    rows: int = 1024,
) -> Iterator[pa.RecordBatch]:
    """The rows of Parquet files in their order, at most `rows` at a time; as `read_table`."""
    wanted = _wanted(schema, columns)
    with _missing_shards():
        yield from _dataset(files, paths, schema).to_batches(
            columns=wanted, filter=where, batch_size=rows, batch_readahead=2, fragment_readahead=1
        )


def _wanted(schema: pa.Schema, columns: Sequence[str] | None) -> list[str] | None:
    if unknown := sorted(set(columns or ()) - set(schema.names)):
        raise StoreError(f"No column {', '.join(unknown)}: there are {', '.join(schema.names)}.")
    return list(columns) if columns is not None else None


def _dataset(files: Files, paths: Iterable[str], schema: pa.Schema) -> pyarrow.dataset.Dataset:
    source = arrow_fs.LocalFileSystem() if files.local else arrow_fs.FSSpecHandler(files.fs)
    return pyarrow.dataset.dataset(
        [files.full(path) for path in paths],
        schema=schema,
        format="parquet",
        filesystem=source if files.local else arrow_fs.PyFileSystem(source),
    )


@contextlib.contextmanager
def _missing_shards() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"A shard is gone ({error}): run `repic repair`.") from error


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


def dataset(rows: pa.Table, manifest: Manifest) -> datasets.Dataset:
    """A `datasets.Dataset` that wraps the rows of a version without copying them."""
    import datasets

    return datasets.Dataset(rows, fingerprint=manifest.content)


def read_file(files: Files, manifest: Manifest, name: str) -> bytes:
    """The bytes of one file of a checkpoint or report.

    Raises:
        NotFoundError: it has no such file.
        DamagedError: the file is gone or has changed.
    """
    for file in manifest.files:
        if file.name == name:
            data = io.BytesIO()
            _copy(files, file, data)
            return data.getvalue()
    raise NotFoundError(f"{manifest.ref} has no file {name}.")


def checkout(files: Files, manifest: Manifest, folder: Path) -> Path:
    """Copy the files of a checkpoint or report into a folder; symbolic links are not followed.

    Raises:
        StoreError: it has no files, or the folder has a symbolic link or a file in the way.
        DamagedError: a file is gone or has changed; it is not copied.
    """
    if not manifest.files:
        raise StoreError(f"{manifest.ref} is a {manifest.kind} without files: use read.")
    for file in manifest.files:
        target = folder / file.name
        with store_errors(str(target)):
            for up in reversed(target.relative_to(folder).parents[:-1]):
                if (folder / up).is_symlink():
                    raise StoreError(f"{folder / up} is a symbolic link: choose an empty folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f".{uuid.uuid4().hex}"
            try:
                with open(temporary, "xb") as copy:
                    _copy(files, file, copy)
                os.replace(temporary, target)  # replaces a symbolic link, never follows it
            finally:
                temporary.unlink(missing_ok=True)
    return folder


def _copy(files: Files, file: File, target: IO[bytes]) -> None:
    """Copy a file of the store and hash it on the way. Raises: DamagedError."""
    digest = hashlib.sha256()
    try:
        with files.open(file.path) as source:
            while chunk := source.read(intact.CHUNK):
                digest.update(chunk)
                target.write(chunk)
    except FileNotFoundError:
        raise DamagedError(files.full(file.path), intact.GONE) from None
    if digest.hexdigest() != file.sha256:
        raise DamagedError(files.full(file.path), intact.CHANGED)


def _protocol(files: Files) -> str:
    protocol = files.fs.protocol
    return protocol if isinstance(protocol, str) else protocol[0]
