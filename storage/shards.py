"""Shards: immutable Parquet files named by content; equal rows give equal bytes.

The footer holds the content hash of the rows and, for a part, the inputs that it covers, so a store
can be listed by reading footers only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import StoreError
from storage.files import Files
from storage.hashing import content_hash
from storage.manifest import Shard

ROWS_PER_SHARD = 50_000
"""For a table that is published as rows; 64 MB of 640-dimensional float16 vectors."""

CONTENT, COVERS, NOTE = b"content", b"covers", b"note"


def canonical(table: pa.Table) -> pa.Table:
    """The same rows in one chunk, with dictionaries decoded and metadata removed.

    Documentation is kept in the manifest, so that rewording it does not change a shard.
    """
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        fields.append(pa.field(field.name, kind, field.nullable))
        columns.append(column.cast(kind))
    return pa.table(columns, schema=pa.schema(fields)).combine_chunks()


def split(table: pa.Table, key: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """Split a table into canonical shards of `rows` rows, sorted by key.

    An empty table gives one empty shard, which holds the schema.
    """
    table = canonical(canonical(table).sort_by([(column, "ascending") for column in key]))
    for start in range(0, max(1, table.num_rows), rows):
        yield table.slice(start, rows)


def write(
    files: Files,
    folder: str,
    table: pa.Table,
    covers: Sequence[str] | None = None,
    note: str = "",
) -> tuple[Shard, pa.Schema]:
    """Write rows in canonical form and given order under their content name; no-op if it exists.

    Returns:
        The shard, and the schema of its file.

    Raises:
        StoreError: no space, no permission, or the file does not read back as it was written.
    """
    table = canonical(table)
    content = content_hash(table)
    footer = {CONTENT: content.encode()}
    if covers is not None:
        footer |= {COVERS: json.dumps(sorted(covers)).encode(), NOTE: note.encode()}
    stored = files.put(
        folder, ".parquet", [encode(table, footer)], lambda written: check(written, table)
    )
    shard = Shard(
        path=stored.path,
        sha256=stored.sha256,
        bytes=stored.bytes,
        rows=table.num_rows,
        content=content,
    )
    return shard, table.schema


def encode(table: pa.Table, footer: dict[bytes, bytes]) -> memoryview:
    """Parquet bytes; deterministic under one version of pyarrow."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        writer.add_key_value_metadata(footer)
    return memoryview(sink.getvalue())


def check(written: IO[bytes], table: pa.Table) -> None:
    """Read a written file back and compare its row count and schema with the table.

    Raises:
        StoreError: they differ, or the file is not Parquet.
    """
    try:
        parquet = pq.ParquetFile(written)
        rows, schema = parquet.metadata.num_rows, parquet.schema_arrow.remove_metadata()
    except pa.ArrowInvalid as error:
        raise StoreError(
            f"A shard does not read back as Parquet ({error}): check the disk and run again."
        ) from error
    if rows != table.num_rows or not schema.equals(table.schema):
        raise StoreError(
            f"A shard of {table.num_rows} rows reads back as {rows} rows of {schema}: "
            "Parquet does not preserve a column type; store it as another type."
        )


def empty_table(name: str, schema: pa.Schema | None) -> pa.Table:
    """A table without rows. Raises: StoreError, if no schema is given."""
    if schema is None:
        raise StoreError(f"{name} has no parts: give its schema.")
    return schema.empty_table()


def with_documentation(name: str, stored: pa.Schema, declared: pa.Schema) -> pa.Schema:
    """The schema of the stored files with the documentation of the declared one."""
    if sorted(stored.names) != sorted(declared.names):
        raise StoreError(
            f"{name} has the columns {', '.join(stored.names)}, but its schema has "
            f"{', '.join(declared.names)}: change the code that writes the rows, or the schema."
        )
    return pa.schema([f.with_metadata(declared.field(f.name).metadata or {}) for f in stored])


def check_key_columns(name: str, schema: pa.Schema, key: Sequence[str]) -> None:
    """Raises: StoreError, if the key is empty or names a column that the table lacks."""
    if not key or set(key) - set(schema.names):
        raise StoreError(
            f"{name} needs a key out of its columns {', '.join(schema.names)}, not {list(key)}."
        )
