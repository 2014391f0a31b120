"""Rows as immutable Parquet files: the same rows give the same bytes, so the same name.

A file carries in its footer the content hash of its rows and, if it is a part, which inputs it
covers; so a store can be listed by footers alone.
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
"""Of a table that is published whole: 64 MB of 640-dimensional float16 vectors."""

CONTENT, COVERS, NOTE = b"content", b"covers", b"note"


def canonical(table: pa.Table) -> pa.Table:
    """The same rows in one chunk, dictionaries decoded, without metadata.

    Documentation belongs to the manifest: a reworded sentence must not change a shard.
    """
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        fields.append(pa.field(field.name, kind, field.nullable))
        columns.append(column.cast(kind))
    return pa.table(columns, schema=pa.schema(fields)).combine_chunks()


def split(table: pa.Table, key: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """The canonical shards of a table: sorted by key, `rows` each; one empty one if it is empty.

    An empty shard has the schema, so that a reader of the files needs no case of its own.
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
    """Write rows as they are, in canonical form, under the content name; a no-op if it exists.

    Returns:
        The shard, and the schema that its file has.

    Raises:
        StoreError: no space, no permission, or the file reads back as something else.
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
    """Parquet bytes; the same for the same rows, under one version of pyarrow."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        writer.add_key_value_metadata(footer)
    return memoryview(sink.getvalue())


def check(written: IO[bytes], table: pa.Table) -> None:
    """Open a written file again and compare its rows and schema with what was meant.

    Raises:
        StoreError: they differ, or it is not Parquet at all.
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
            "a column type does not survive Parquet; store it as another type."
        )
