"""SQL: an editor with the schema beside it; queries only read, in a process with limits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from functools import cache, partial
from importlib import resources
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from repic.studio import sql_process
from repic.studio.site import Studio, fields
from repic.studio.sql_process import QueryResult, StudioQueryError

NAME, PATH = "SQL", "/sql"
LONGEST_CELL = 300
"""Characters of a cell on a page."""

DEFAULT = (
    "select objective, kind, split, count(*) as examples\nfrom examples group by all order by all"
)


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/sql")
    def editor(request: Request, q: str = DEFAULT) -> Response:
        return _editor(studio, request, q)

    @routes.post("/sql")
    async def ask(request: Request) -> Response:
        given = await fields(request)
        return await run_in_threadpool(partial(_asked, studio, request, given.get("q", "")))

    @routes.post("/sql/result.{kind}")
    async def download(request: Request, kind: str) -> Response:
        given = await fields(request)
        return await run_in_threadpool(
            partial(_downloaded, studio, request, given.get("q", ""), kind)
        )

    return routes


def _asked(studio: Studio, request: Request, query: str) -> Response:
    try:
        result = sql_process.run(studio.store.location, query)
        rows = [[_cell(value) for value in row] for row in _values(result.rows)]
    except StudioQueryError as error:
        return _editor(studio, request, query, error=str(error), status=422)
    return _editor(studio, request, query, result=result, rows=rows)


def _downloaded(studio: Studio, request: Request, query: str, kind: str) -> Response:
    try:
        if kind not in ("csv", "parquet"):
            raise StudioQueryError("A result is downloaded as csv or parquet.")
        result = sql_process.run(studio.store.location, query, sql_process.EXPORTED_ROWS)
        data = _csv(result.rows) if kind == "csv" else _parquet(result.rows)
    except StudioQueryError as error:
        return _editor(studio, request, query, error=str(error), status=422)
    headers = {"content-disposition": f'attachment; filename="result.{kind}"'}
    media = "text/csv; charset=utf-8" if kind == "csv" else "application/vnd.apache.parquet"
    return Response(data, media_type=media, headers=headers)


def _editor(
    studio: Studio,
    request: Request,
    query: str,
    *,
    result: QueryResult | None = None,
    rows: Sequence[Sequence[str]] = (),
    error: str = "",
    status: int = 200,
) -> Response:
    return studio.page(
        request,
        "sql.html",
        status=status,
        query=query,
        error=error,
        result=result,
        rows=rows,
        schema=_schema(studio),
        queries=ready_queries(),
        limits=sql_process,
    )


def _schema(studio: Studio) -> dict[str, list[tuple[str, str, str]]]:
    """View -> name, type and meaning of its columns, of the latest versions."""
    refs = studio.store.current().refs
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, ref in sorted(refs.items()):
        manifest = studio.store.manifest(f"{name}@v{ref.latest}") if ref.latest else None
        if manifest is not None and manifest.kind == "table":
            found[name] = [(c.name, c.type, c.doc or "") for c in manifest.columns]
    return found


def _values(table: pa.Table) -> Iterator[list[Any]]:
    """The rows of a result.

    Raises:
        StudioQueryError: Python has no such value, as for a date beyond the year 9999.
    """
    try:
        for batch in table.to_batches(max_chunksize=1000):
            yield from (list(row.values()) for row in batch.to_pylist())
    except (OverflowError, ValueError, pa.ArrowException) as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> StudioQueryError:
    remedy = "cast the column to text, as in `x::varchar`"
    return StudioQueryError(f"A value of the result cannot be given ({error}): {remedy}.")


def _cell(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"


def _text(value: Any) -> str:
    """A value as text: nested ones as JSON, bytes by their number."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _csv(table: pa.Table) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(table.column_names)
    writer.writerows([_text(value) for value in row] for row in _values(table))
    return file.getvalue().encode()


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink)
    except pa.ArrowException as error:
        raise _unreadable(error) from None
    return sink.getvalue().to_pybytes()


@cache
def ready_queries() -> dict[str, str]:
    """Question -> query, of docs/sql.md; `queries.sql` has them for the installed package."""
    text = (resources.files("repic.studio") / "queries.sql").read_text(encoding="utf-8")
    blocks = [block.strip() for block in text.split("-- ") if block.strip()]
    split = (block.partition("\n") for block in blocks)
    return {question: query.strip() for question, _, query in split}
