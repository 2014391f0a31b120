"""One SQL query in a process of its own, with limits of time, memory, rows and bytes.

The query is that of a person: it passes the guard of `repic sql`, which admits one reading
statement on tables of the store. The process bounds what such a statement can cost, and takes its
memory with it. It reads its task as JSON and writes a line of JSON, then the rows as an Arrow
stream.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore

import pyarrow as pa

from repic.errors import FIXABLE, RepicError

SECONDS = 20
"""Time of a query, with the start of its process."""

ROWS, EXPORTED_ROWS = 500, 200_000
"""Rows on a page, and in a file."""

BYTES = 64 << 20
"""Of a result in memory."""

MEMORY = 2 << 30
"""Bytes that the process may take from the system."""

BATCH = 64
"""Rows that become Arrow at a time."""

AT_ONCE, PATIENCE = 2, 5.0
"""Queries that run at the same time; seconds that another one waits for a place."""

LONGEST = 50_000
"""Characters of a query."""

_places = BoundedSemaphore(AT_ONCE)


class StudioQueryError(RepicError):
    """A query that is refused, fails or takes too long."""


@dataclass(frozen=True)
class QueryResult:
    """Rows of a query.

    Attributes:
        rows: At most as many as asked for.
        more: Whether there were more rows, or too many bytes.
        seconds: From the question to the answer.
    """

    rows: pa.Table
    more: bool
    seconds: float


def run(location: str, query: str, rows: int = ROWS, seconds: float | None = None) -> QueryResult:
    """The result of a query on the catalog of a store, within `SECONDS` if no other time is given.

    Raises:
        StudioQueryError: it is no single reading statement, fails, or exceeds a limit.
    """
    if len(query) > LONGEST:
        raise StudioQueryError(f"A query has at most {LONGEST:,} characters.")
    if not _places.acquire(timeout=PATIENCE):
        raise StudioQueryError(f"{AT_ONCE} other queries are running: try again in a moment.")
    started = time.monotonic()
    seconds = SECONDS if seconds is None else seconds
    try:
        output = _output(json.dumps([location, query, rows, seconds]), seconds)
    finally:
        _places.release()
    head, _, body = output.partition(b"\n")
    said = json.loads(head)
    if "error" in said:
        raise StudioQueryError(said["error"])
    table = pa.ipc.open_stream(body).read_all()
    return QueryResult(table, said["more"], time.monotonic() - started)


def _output(task: str, seconds: float) -> bytes:
    # -P: a file `json.py` in the folder that the studio was started in is no module of ours.
    command = (sys.executable, "-P", "-m", "repic.studio.sql_process")
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(task.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise StudioQueryError(
                f"The query took more than {seconds:g} s and was stopped: ask for less, or use "
                "`repic sql`."
            ) from None
    if not output:
        raise StudioQueryError(
            "The process of the query ended without an answer; it may have needed too much memory: "
            "ask for less, or use `repic sql`."
        )
    return output


def main() -> None:
    """Answer the task on standard input; the main function of the process."""
    location, query, most, seconds = json.load(sys.stdin)
    # Also if the studio is killed meanwhile; the default action ends the process in any state.
    signal.setitimer(signal.ITIMER_REAL, seconds + 5)
    with suppress(OSError, ValueError):
        os.nice(5)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    output = sys.stdout.buffer
    try:
        rows, more = answer(location, query, most)
    except FIXABLE as error:
        output.write(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    output.write(json.dumps({"more": more}).encode() + b"\n")
    with pa.ipc.new_stream(output, rows.schema) as stream:
        stream.write_table(rows)


def answer(location: str, query: str, most: int) -> tuple[pa.Table, bool]:
    """At most so many rows of a query, and whether there are others; in this process.

    Raises:
        storage.errors.StoreError: it is not one reading statement, fails, or the store cannot be
            read.
    """
    import duckdb

    from repic.pipeline.catalog import ask, connect, open_store
    from storage.errors import QueryError
    from storage.sql import explained

    store = open_store(location)
    with connect(store, query) as connection:
        try:
            found = ask(store, connection, query).limit(most + 1).to_arrow_reader(BATCH)
            rows, more = _within(found, most)
        except duckdb.Error as error:
            raise explained(error) from None
        except (OSError, MemoryError) as error:  # of batches
            cause = str(error).partition("\n")[0]
            raise QueryError(f"{cause}: ask for less, or use `repic sql`.") from None
    if more and not rows.num_rows:
        raise QueryError(f"A row has more than {BYTES >> 20} MB: ask for fewer columns.")
    return rows, more


def _within(found: pa.RecordBatchReader, most: int) -> tuple[pa.Table, bool]:
    """The first rows, until there are `most` or they have `BYTES`, and whether there are others."""
    taken: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in found:
        for start in range(batch.num_rows):
            row = batch.slice(start, 1)
            size += row.nbytes
            if rows == most or size > BYTES:
                return pa.Table.from_batches([*taken, batch.slice(0, start)], found.schema), True
            rows += 1
        taken.append(batch)
    return pa.Table.from_batches(taken, found.schema), False


if __name__ == "__main__":
    main()
