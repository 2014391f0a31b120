"""Shards: immutable Parquet files named by content; equal rows give equal bytes.

The footer holds the content hash of the rows and, for a part, the inputs that it covers, so a store
can be listed by reading footers only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import StoreError
from storage.files import Files
from storage.hashing import content_hash, content_of_rows, row_hashes
from storage.manifest import Shard

ROWS_PER_SHARD = 50_000
"""For a table that is published as rows; 64 MB of 640-dimensional float16 vectors."""

WRITERS = 4
"""Threads that compress and write shards of a table; each holds one shard."""

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


def write_sorted(
    files: Files, folder: str, table: pa.Table, key: Sequence[str]
) -> list[tuple[Shard, pa.Schema]]:
    """Write a table as shards of `ROWS_PER_SHARD` rows, sorted by key; see `write`.

    The rows of several shards are hashed while they are sorted, and some shards are written at a
    time, since Arrow and the disk leave the interpreter to others. An empty table gives one empty
    shard, which holds the schema.
    """
    table, keys = canonical(table), [(column, "ascending") for column in key]
    if table.num_rows <= ROWS_PER_SHARD:
        return [write(files, folder, table.sort_by(keys))]
    with ThreadPoolExecutor(WRITERS) as pool:
        sorting = pool.submit(pc.sort_indices, table, sort_keys=keys)
        hashes = row_hashes(table)
        order = sorting.result()

        def write_from(start: int) -> tuple[Shard, pa.Schema]:
            rows = order.slice(start, ROWS_PER_SHARD)
            content = content_of_rows(hashes.take(rows.to_numpy(), axis=1))
            return write(files, folder, table.take(rows), content=content)

        return list(pool.map(write_from, range(0, table.num_rows, ROWS_PER_SHARD)))


def write(
    files: Files,
    folder: str,
    table: pa.Table,
    covers: Sequence[str] | None = None,
    note: str = "",
    content: str | None = None,
) -> tuple[Shard, pa.Schema]:
    """Write rows in canonical form and given order under their content name; no-op if it exists.

    Args:
        content: Content hash of the rows, if it is known.

    Returns:
        The shard, and the schema of its file.

    Raises:
        StoreError: no space, no permission, or the file does not read back as it was written.
    """
    table = canonical(table)
    content = content or content_hash(table)
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


def ordered(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows sorted by key, or as they are if a type has no order."""
    try:
        return rows.sort_by([(column, "ascending") for column in key])
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return rows


def ascends(rows: pa.Table, key: Sequence[str]) -> bool:
    """Whether each row has a greater key than the one before it, so that no key stands twice.

    False if that cannot be told, as of nulls, NaN and types without an order.
    """
    above: Any = pa.scalar(False)
    for column in reversed(key):
        lower, upper = rows[column][:-1], rows[column][1:]
        try:
            above = pc.or_(pc.less(lower, upper), pc.and_(pc.equal(lower, upper), above))
        except pa.ArrowNotImplementedError:
            return False
    return pc.all(above, skip_nulls=False, min_count=0).as_py() is True
