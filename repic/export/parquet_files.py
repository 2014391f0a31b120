"""Parquet files that are written row by row: row groups of some 64 MB, files of some 500 MB."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS, GROUP_BYTES = 1000, 64 << 20
FILE_BYTES = 500 << 20


@dataclass
class _OpenFile:
    rows: list[dict[str, Any]] = field(default_factory=list)
    bytes: int = 0
    written: int = 0
    files: int = 0
    writer: pq.ParquetWriter | None = None


class ParquetFiles:
    """Files `NAME-00000.parquet` in a folder, for each name that rows are added under."""

    def __init__(
        self, folder: Path, schema: pa.Schema, file_bytes: int | None = FILE_BYTES
    ) -> None:
        """Args:
        schema: Of the rows, with metadata for the reader.
        file_bytes: Bytes from which a further file is begun; None: one file, `NAME.parquet`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._schema = schema
        self._file_bytes = file_bytes
        self._parts: dict[str, _OpenFile] = {}
        self.files: list[Path] = []

    def add(self, name: str, row: dict[str, Any], size: int) -> None:
        """Add a row of about `size` bytes."""
        part = self._parts.setdefault(name, _OpenFile())
        part.rows.append(row)
        part.bytes += size
        if len(part.rows) >= GROUP_ROWS or part.bytes >= GROUP_BYTES:
            self._flush(name, part)

    def _flush(self, name: str, part: _OpenFile) -> None:
        if part.writer is None:
            file = (
                f"{name}.parquet"
                if self._file_bytes is None
                else f"{name}-{part.files:05d}.parquet"
            )
            self.files.append(self._folder / file)
            part.writer = pq.ParquetWriter(self.files[-1], self._schema, compression="zstd")
            part.files += 1
        part.writer.write_table(pa.Table.from_pylist(part.rows, schema=self._schema))
        part.written += part.bytes
        part.rows, part.bytes = [], 0
        if self._file_bytes is not None and part.written >= self._file_bytes:
            part.writer.close()
            part.writer, part.written = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, part in self._parts.items():
            if part.rows and error is None:
                self._flush(name, part)
            if part.writer is not None:
                part.writer.close()
