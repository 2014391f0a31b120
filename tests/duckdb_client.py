"""Another program that reads a catalog while versions are published."""

from __future__ import annotations

from pathlib import Path

import duckdb


def opened(path: str | Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection, as docs/storage.md tells a client to open a file during a build.

    DuckDB 2 opens a file once for its header and again for its blocks. If the file is replaced in
    between, the header does not fit and the client has to open it again. A file that cannot be
    opened although it is the same before and after is broken.
    """
    while True:
        before = _identity(path)
        try:
            return duckdb.connect(str(path), read_only=True)
        except duckdb.IOException:
            if _identity(path) == before:
                raise


def _identity(path: str | Path) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_ino, found.st_mtime_ns
