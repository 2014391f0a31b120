"""Another program that reads a catalog while versions are published."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import duckdb

ATTEMPTS = 3


def opened(path: str | Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection, as docs/storage.md tells a client to open a file during a build.

    DuckDB 2 opens a file once for its header and again for its blocks. If the file is replaced in
    between, the header does not fit and the client has to open it again. The attempts follow each
    other at once, so a file that is broken until its next replacement fails all of them.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(duckdb.IOException):
            return duckdb.connect(str(path), read_only=True)
    return duckdb.connect(str(path), read_only=True)
