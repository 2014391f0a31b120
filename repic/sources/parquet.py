"""Rows of Parquet and Arrow files with pictures, read without the pictures.

Supported layouts: a single file; a folder of Parquet shards, as on the hub
(`data/train-00000-of-00032.parquet`); the output of `save_to_disk` of `datasets`
(`data-00000-of-00001.arrow`, in one sub-folder per split if there are splits).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from repic.errors import SourceError
from repic.images import uris
from repic.images.fetch import is_arrow

_SPLITS = ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval")


@dataclass(frozen=True)
class TableFile:
    """One file of a data set: its URI, and its file system and path in fsspec."""

    uri: str
    files: Any
    path: str

    def schema(self) -> pa.Schema:
        """Arrow schema, with the metadata of `datasets`."""
        import pyarrow.parquet as pq

        with self.files.open(self.path, "rb") as file:
            return pa.ipc.open_stream(file).schema if is_arrow(self.path) else pq.read_schema(file)

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All rows in order, with the given columns only."""
        for table in self._tables(columns):
            yield from table.to_pylist()

    def pictures(self, column: str) -> Iterator[str | None]:
        """Path or URL of each row's picture, or None if its bytes are in the cell.

        A cell is a path, bytes, or the struct of both that `datasets` writes, in which bytes take
        precedence.

        Raises:
            SourceError: the column has another type.
        """
        kind = self.schema().field(column).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            for row in self.rows([column]):
                yield row[column]
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            yield from (None for _ in self.rows([]))
        elif pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
            yield from self._struct_pictures(column)
        else:
            raise SourceError(
                f"column {column} of {self.uri} holds {kind}, not pictures; set source.image_column"
            )

    def _struct_pictures(self, column: str) -> Iterator[str | None]:
        for embedded, paths in self._embedded(column):
            yield from (None if e else p for e, p in zip(embedded, paths, strict=True))

    def _embedded(self, column: str) -> Iterator[tuple[list[bool], list[str | None]]]:
        """Whether each cell has bytes, and its path, by groups of rows.

        The statistics of a Parquet file usually show that all rows have bytes, which avoids reading
        gigabytes of pictures.
        """
        import pyarrow.parquet as pq

        if is_arrow(self.path):
            for table in self._tables([column]):
                struct = table[column].combine_chunks()
                is_valid = struct.field("bytes").is_valid().to_pylist()
                yield is_valid, struct.field("path").to_pylist()
            return
        with self.files.open(self.path, "rb") as file:
            parquet = pq.ParquetFile(file)
            for group in range(parquet.metadata.num_row_groups):
                if _without_nulls(parquet.metadata.row_group(group), f"{column}.bytes"):
                    count = parquet.metadata.row_group(group).num_rows
                    yield [True] * count, [None] * count
                    continue
                struct = parquet.read_row_group(group, [column])[column].combine_chunks()
                is_valid = struct.field("bytes").is_valid().to_pylist()
                yield is_valid, struct.field("path").to_pylist()

    def _tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        with self.files.open(self.path, "rb") as file:
            if is_arrow(self.path):
                for batch in pa.ipc.open_stream(file):
                    yield pa.Table.from_batches([batch]).select(list(columns))
            else:
                for batch in pq.ParquetFile(file).iter_batches(columns=list(columns)):
                    yield pa.Table.from_batches([batch])


def _without_nulls(group: Any, column: str) -> bool:
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema == column:
            is_counted = chunk.is_stats_set and chunk.statistics.has_null_count
            return bool(is_counted and chunk.statistics.null_count == 0)
    return False


def table_files(path: str, split: str) -> list[TableFile]:
    """Table files of one split, sorted by URI; empty if there is no table file at all.

    The first word of a file's or folder's name gives the split; if no name gives one, all files are
    `train`.

    Raises:
        SourceError: the path or the split does not exist.
    """
    import fsspec

    root = uris.to_uri(path)
    local = root.startswith("file://")
    files, folder = fsspec.url_to_fs(uris.file_path(root) if local else uris.remote_path(root))
    if not files.exists(folder):
        raise SourceError(f"there is no data set at {path}; give an existing one (source.path)")
    paths = [folder] if files.isfile(folder) else files.find(folder)
    tables = sorted(p for p in paths if p.endswith((".parquet", ".arrow")) and _is_data(p))
    if not tables:
        return []
    splits = {p: _split_of(p, folder) for p in tables} if tables != [folder] else {}
    if any(splits.values()):
        chosen = [p for p in tables if splits[p] == split]
    else:
        chosen = tables if split == "train" or tables == [folder] else []
    if not chosen:
        names = ", ".join(sorted({name or "train" for name in splits.values()}))
        raise SourceError(f"{path} has no split {split!r}; set source.split to one of: {names}")
    return [
        TableFile(
            uris.file_uri(p) if local else uris.remote_uri(files.unstrip_protocol(p)), files, p
        )
        for p in chosen
    ]


def _is_data(path: str) -> bool:
    """Whether a file is data, not a cache file of `datasets`."""
    name = PurePosixPath(path).name
    return not name.startswith(("cache-", ".", "indices"))


def _split_of(path: str, folder: str) -> str | None:
    parts = PurePosixPath(path).relative_to(folder).parts
    for part in reversed(parts):
        word = re.split(r"[-_.]", part)[0].lower()
        if word in _SPLITS:
            return word
    return None


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Names of a `ClassLabel` column of `datasets`; None for other columns."""
    stored = (schema.metadata or {}).get(b"huggingface")
    feature = json.loads(stored)["info"]["features"].get(column, {}) if stored else {}
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        return list(feature["names"])
    return None
