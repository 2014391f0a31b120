"""Rows of Parquet and Arrow files with pictures, read without the pictures.

Supported layouts: a single file; a folder of Parquet shards, as on the hub
(`data/train-00000-of-00032.parquet`); the output of `save_to_disk` of `datasets`
(`data-00000-of-00001.arrow`, in one sub-folder per split if there are splits).

A table is as trusted as its author: it may have no more rows than bytes (every photo has some), its
rows are read in batches that cannot expand to gigabytes, and texts are cut off at `MAX_TEXT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.errors import SourceError
from repic.images.table_cells import (
    TableTooLargeError,
    bounded_batches,
    is_arrow,
    is_arrow_error,
    is_base64,
)
from repic.sources import shards
from repic.sources.columns import MAX_TEXT

if TYPE_CHECKING:
    import pyarrow.parquet as pq

FREE_ROWS = 65_536
"""Rows that a table may have whatever its size."""

SUFFIXES = (".parquet", ".arrow")


@dataclass(frozen=True)
class TableFile:
    """One file of a data set: its URI, and its file system and path in fsspec."""

    uri: str
    files: Any
    path: str

    def schema(self) -> pa.Schema:
        """Arrow schema, with the metadata of `datasets`.

        Raises:
            SourceError: the file is no table.
        """
        import pyarrow.parquet as pq

        with self._readable(), self.files.open(self.path, "rb") as file:
            return pa.ipc.open_stream(file).schema if is_arrow(self.path) else pq.read_schema(file)

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All rows in order, with the given columns only.

        Raises:
            SourceError: the table is broken, or has more rows than bytes.
        """
        shared: dict[str, str] = {}
        for batch in self._batches(columns):
            for start in range(0, batch.num_rows, 256):
                for row in _to_python(batch.slice(start, 256)):
                    yield {name: _bounded(value, shared) for name, value in row.items()}

    def pictures(self, column: str) -> Iterator[str | None]:
        """Path or URL of each row's picture, or None if its bytes are in the cell.

        A cell is a path, bytes, bytes as base64 text, or the struct of bytes and path that
        `datasets` writes, in which bytes take precedence.

        Raises:
            SourceError: the column has another type.
        """
        kind = self.schema().field(column).type
        if _is_text(kind):
            for batch in self._batches([column]):
                for cell in _escaped(batch.column(column)):
                    yield _path_of(cell)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            yield from (None for _ in self.rows([]))
        elif pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
            yield from self._struct_pictures(column)
        else:
            raise SourceError(
                f"column {column} of {self.uri} holds {kind}, not pictures; set source.image_column"
            )

    def holds_base64(self, column: str) -> bool:
        """Whether the first picture of a column is base64 text."""
        if not _is_text(self.schema().field(column).type):
            return False
        cells = (c for batch in self._batches([column]) for c in _escaped(batch.column(column)))
        return is_base64(next((cell for cell in cells if cell), ""))

    def _struct_pictures(self, column: str) -> Iterator[str | None]:
        for embedded, paths in self._embedded(column):
            yield from (None if e else p for e, p in zip(embedded, paths, strict=True))

    def _embedded(self, column: str) -> Iterator[tuple[list[bool], list[str | None]]]:
        """Whether each cell has bytes, and its path, by groups of rows.

        The statistics of a Parquet file usually show that all rows have bytes, which avoids reading
        gigabytes of pictures.
        """
        with self._readable(), self.files.open(self.path, "rb") as file:
            if is_arrow(self.path):
                for batch in self._arrow(file, [column]):
                    yield _cells(batch.column(column))
                return
            parquet = self._parquet(file)
            for group in range(parquet.metadata.num_row_groups):
                if _without_nulls(parquet.metadata.row_group(group), f"{column}.bytes"):
                    count = parquet.metadata.row_group(group).num_rows
                    yield [True] * count, [None] * count
                    continue
                for batch in bounded_batches(parquet, [column], [group], keep=False):
                    yield _cells(batch.column(column))

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with self._readable(), self.files.open(self.path, "rb") as file:
            if is_arrow(self.path):
                yield from self._arrow(file, columns)
                return
            parquet = self._parquet(file)
            groups = range(parquet.metadata.num_row_groups)
            if columns:
                yield from bounded_batches(parquet, columns, groups, keep=False)
            else:  # rows without columns take no space
                yield from parquet.iter_batches(columns=[])

    def _arrow(self, file: Any, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        count = 0
        for batch in pa.ipc.open_stream(file):
            count += batch.num_rows
            self._check_rows(count)
            yield batch.select(list(columns))

    def _parquet(self, file: Any) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        parquet = pq.ParquetFile(file)
        self._check_rows(parquet.metadata.num_rows)
        return parquet

    def _check_rows(self, count: int) -> None:
        if count > max(FREE_ROWS, self.files.size(self.path) or 0):
            raise SourceError(
                f"{self.uri} claims {count:,} rows, more than it has bytes; give another data set"
            )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn the errors of a broken table into a `SourceError`."""
        try:
            yield
        except (pa.ArrowException, TableTooLargeError, OverflowError) as error:
            raise SourceError(f"{self.uri} cannot be read: {error}; download it again") from error
        except OSError as error:
            if not is_arrow_error(error):
                raise
            raise SourceError(
                f"{self.uri} cannot be read, it is damaged or cut: {error}; download it again"
            ) from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _path_of(cell: str | None) -> str | None:
    """The path that a cell holds, if it holds one."""
    return None if cell is None or is_base64(cell) or len(cell) > MAX_TEXT else cell


def _cells(column: pa.StructArray) -> tuple[list[bool], list[str | None]]:
    """Whether each cell has bytes, and its path."""
    has_bytes = pc.is_valid(pc.struct_field(column, "bytes")).to_pylist()
    return has_bytes, _escaped(pc.struct_field(column, "path"))


def _without_nulls(group: Any, column: str) -> bool:
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema == column:
            is_counted = chunk.is_stats_set and chunk.statistics.has_null_count
            return bool(is_counted and chunk.statistics.null_count == 0)
    return False


def table_files(path: str, split: str) -> list[TableFile]:
    """Table files of one split, sorted by URI; empty if there is no table file at all.

    Raises:
        SourceError: the path or the split does not exist.
    """
    return [TableFile(*shard) for shard in shards.find(path, split, SUFFIXES)]


def table(path: str) -> TableFile:
    """The table file at a local path or URL."""
    return TableFile(*shards.shard(path))


def _to_python(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows of a batch; texts that are not UTF-8 have backslash escapes."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        columns = {name: _escaped(batch.column(name)) for name in batch.schema.names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _escaped(column: pa.Array) -> list[Any]:
    if not _is_text(column.type):
        try:
            return list(column.to_pylist())
        except UnicodeDecodeError:
            return [None] * len(column)
    cells = column.cast(pa.large_binary()).to_pylist()
    return [None if c is None else c.decode("utf-8", "backslashreplace") for c in cells]


def _bounded(value: Any, shared: dict[str, str]) -> Any:
    """A value with long texts removed; equal texts are one object, as they are in the file."""
    if isinstance(value, str):
        return shared.setdefault(value, value) if len(value) <= MAX_TEXT else None
    if isinstance(value, dict):
        return {name: _bounded(entry, shared) for name, entry in value.items()}
    if isinstance(value, list):
        return [_bounded(entry, shared) for entry in value]
    return value
