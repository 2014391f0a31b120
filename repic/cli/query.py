"""Commands that query the catalog: sql, catalog, schema, sources."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    import duckdb

    from repic.tables.schema import Table

MAX_ROWS = 100
"""Rows that `sql` prints as a table; the other formats print all."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (sql, catalog, schema, sources):
        app.command()(command)


def sql(
    query: Annotated[str, typer.Argument(help="DuckDB SQL; `show tables` lists the views.")],
    format_: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="Output format.")
    ] = "table",
    out_: Annotated[
        Path | None, typer.Option("--out", help="File to write; required for parquet.")
    ] = None,
    unsafe: Annotated[
        bool,
        typer.Option("--unsafe", help="Let SQL read and write all your files; for COPY, ATTACH."),
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run a SQL query. `examples` is the table of the latest dataset, `v3.examples` of dataset@v3.

    A query only reads, and only tables of the store.

    Example: repic sql "select objective, split, count(*) from examples group by all"
    """
    import duckdb

    from repic.pipeline.catalog import ask, connect
    from storage.sql import explained

    if format_ == "parquet" and out_ is None:
        raise UserError("parquet is binary: give a file with --out")
    opened = open_store(store)
    with connect(opened, query, unsafe=unsafe) as connection:
        try:
            relation = connection.sql(query) if unsafe else ask(opened, connection, query)
            if relation is None:  # a statement without a result, such as COPY
                return
            if format_ == "parquet":
                _write_parquet(relation, Path(out_ or ""))
                return
            columns, rows = relation.columns, relation.fetchall()
        except duckdb.Error as error:
            raise (UserError(str(error)) if unsafe else explained(error)) from None
    if format_ == "table" and out_ is None:
        print_rows(columns, rows[:MAX_ROWS])
        if len(rows) > MAX_ROWS:
            err().print(f"{len(rows) - MAX_ROWS} more rows; --format csv prints all")
        return
    with out_.open("w", encoding="utf-8", newline="") if out_ else _standard_output() as file:
        if format_ == "json":
            records = [dict(zip(columns, map(_json, row), strict=True)) for row in rows]
            json.dump(records, file, indent=2, ensure_ascii=False, default=str)
            file.write("\n")
        else:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([_cell(value) for value in row] for row in rows)


@contextmanager
def _standard_output() -> Iterator[Any]:
    yield sys.stdout


def _write_parquet(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Write a result in this process: under the guard, DuckDB itself writes no file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = relation.to_arrow_reader()
    try:
        with path.open("wb") as file, pq.ParquetWriter(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except pa.ArrowNotImplementedError as error:
        path.unlink(missing_ok=True)
        raise UserError(f"parquet cannot hold a column ({error}): cast it to text") from None
    except OSError as error:
        if error.strerror:  # of the file; the others are of the query
            raise
        path.unlink(missing_ok=True)
        raise UserError(str(error)) from None


def _json(value: Any) -> Any:
    """A JSON value, in which NaN and infinity are null and keys are text, as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return list(map(_json, value))
    return {str(k): _json(v) for k, v in value.items()} if isinstance(value, dict) else value


def _cell(value: Any) -> Any:
    """A CSV value: lists and structs become JSON."""
    nested = isinstance(value, (list, dict, tuple))
    return json.dumps(_json(value), ensure_ascii=False, default=str) if nested else value


def catalog(
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File to write, with all dataset versions; by default in the store."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Rebuild catalog.duckdb from the manifests, for example after moving the store.

    Example: repic catalog && duckdb -readonly repic-store/catalog.duckdb
    """
    from repic.pipeline import catalog as views
    from storage.errors import StoreError

    opened = open_store(store)
    try:
        out().print(f"Wrote {views.refresh(opened, out_)}")
    except StoreError as error:
        if out_ is not None:
            raise
        raise UserError(
            f"{error} `repic sql` needs no catalog file; `repic catalog --out FILE` writes one."
        ) from error


def schema(
    table: Annotated[str | None, typer.Argument(help="One table; all by default.")] = None,
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """List every table and column with its type and meaning.

    Example: repic schema examples
    """
    from repic.pipeline.catalog import PAIR_PHOTOS_DOC, SOURCES_DOC
    from repic.tables import TABLES

    if table is not None and table not in TABLES:
        raise UserError(f"there is no table {table}; choose one of {', '.join(TABLES)}")
    chosen = [TABLES[table]] if table else list(TABLES.values())
    if as_json:
        print_json(
            {
                t.name: {
                    "doc": t.doc,
                    "key": t.key,
                    "columns": [
                        {"name": c.name, "type": str(c.type), "nullable": c.nullable, "doc": c.doc}
                        for c in t.columns
                    ],
                }
                for t in chosen
            }
        )
        return
    if markdown:
        typer.echo("\n".join(_markdown(chosen)).rstrip())
        return
    for t in chosen:
        out().print(f"{t.name}: {t.doc} Key: {', '.join(t.key)}.")
        print_rows(
            ["column", "type", "null", "meaning"],
            [(c.name, _type(c.type), "yes" if c.nullable else "", c.doc) for c in t.columns],
        )
    if table is None:
        out().print("pair_photos: view of pairs with the URIs of both photos.")
        print_rows(["column", "meaning"], list(PAIR_PHOTOS_DOC.items()))
        out().print("sources: view of the sources of a dataset and their settings.")
        print_rows(["column", "meaning"], list(SOURCES_DOC.items()))


def sources(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """List every kind of source and what it gives.

    Example: repic sources
    """
    from dataclasses import asdict

    from repic.sources import facts

    found = {kind: asdict(given) for kind, given in facts().items()}
    if as_json:
        print_json(found)
    elif markdown:
        head = ("source", *next(iter(found.values())))
        typer.echo(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for kind, given in found.items():
            typer.echo(f"| {' | '.join((f'`{kind}`', *map(_escaped, given.values())))} |")
    else:
        for kind, given in found.items():
            out().print(kind, style="bold")
            print_rows(["", ""], [(name, text) for name, text in given.items() if text])


INTRODUCTION = """\
# Tables

Every table that a build publishes, printed by `repic schema --markdown`. In `catalog.duckdb` each
is a view: of the latest dataset under its own name, of dataset version 3 as `v3.images`.
`pair_photos` is a view on top of pairs and images, and `sources` lists the sources of a dataset;
`artifacts`, `lineage`, `shards` and `snapshot` describe the store itself. See [SQL](sql.md) for
queries.
"""


def _markdown(tables: list[Table]) -> Iterator[str]:
    yield INTRODUCTION
    for table in tables:
        yield f"## {table.name}\n\n{table.doc} Key: {', '.join(f'`{k}`' for k in table.key)}.\n"
        yield "| column | type | null | meaning |\n|---|---|---|---|"
        for c in table.columns:
            null = "yes" if c.nullable else ""
            yield f"| `{c.name}` | {_type(c.type)} | {null} | {_escaped(c.doc)} |"
        yield ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _type(kind: Any) -> str:
    text = str(kind)
    return text.replace(" not null", "").replace("element: ", "").replace("item: ", "")
