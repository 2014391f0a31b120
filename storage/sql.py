"""SQL of a person: quoting for DuckDB, and a guard that admits only reading the given files."""

from __future__ import annotations

import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from storage.errors import QueryError
from storage.files import Files

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "4GB"
SPILL_LIMIT = "16GB"
"""Memory of a guarded query, and its temporary files beyond that."""

TABLE_FUNCTIONS = {
    *("range", "generate_series", "unnest", "repeat", "json_each", "json_tree", "query_table"),
    *("read_parquet", "parquet_scan", "parquet_schema", "parquet_metadata"),
    *("parquet_file_metadata", "parquet_kv_metadata", "pragma_table_info", "pragma_version"),
    *("duckdb_columns", "duckdb_functions", "duckdb_schemas", "duckdb_settings"),
    *("duckdb_tables", "duckdb_types", "duckdb_views", "duckdb_databases"),
}
"""Table functions that a query of a store may call. Others change something, such as
`json_execute_serialized_sql`, which also runs COPY, or read other things than its tables."""


class QueryScope(NamedTuple):
    """What a guarded query may read, and what to do about another one, for messages."""

    tables: str
    remedy: str
    otherwise: str


STORE = QueryScope(
    "the tables of the store",
    "name a table that SHOW ALL TABLES lists, or use `repic sql --unsafe`",
    ", or use `repic sql --unsafe`",
)
FILES = QueryScope("local Parquet files", "name files as read_parquet('PATH')", "")

_EXPLAIN = re.compile(r"explain(\s+analyze\b|\s*\([\w\s,]*\))?\s+(?=\S)", re.IGNORECASE)


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted string literal."""
    return "'" + text.replace("'", "''") + "'"


def escape_glob(path: str) -> str:
    """Escape the characters of a path that DuckDB would read as a glob pattern."""
    return re.sub(r"[\[*?]", r"[\g<0>]", path)


def connect(files: Files) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that can read the files of a store, and no Python variables."""
    import duckdb

    connection = duckdb.connect(config={"python_enable_replacements": False})
    if not files.local:
        connection.register_filesystem(files.fs)
    return connection


def restrict(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Take everything outside the database from a connection, except some files, for good.

    DuckDB may still *write* these files, so that only `ask` may run a person's SQL here.

    Args:
        paths: Files that views of the connection read, as DuckDB paths.
    """
    # DuckDB checks a path as a view writes it, and again after its glob characters are resolved.
    allowed = sorted({name for path in paths for name in (path, escape_glob(path))})
    spill = Path(tempfile.gettempdir(), f"duckdb-{uuid.uuid4().hex}")  # removed with the connection
    for setting, value in {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": literal(MEMORY_LIMIT),
        "temp_directory": literal(str(spill)),
        "max_temp_directory_size": literal(SPILL_LIMIT),
        "allowed_paths": f"[{', '.join(map(literal, allowed))}]",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }.items():
        connection.execute(f"SET {setting} = {value}")


def named_files(query: str) -> tuple[list[str], list[str]]:
    """Local files that a query reads: patterns or paths as written, and the files that exist.

    Raises:
        QueryError: it is not one SELECT.
    """
    import duckdb

    text = _without_end(query)
    connection = duckdb.connect(config={"python_enable_replacements": False})
    try:
        _check_alone(text, FILES)
        tree = _tree(connection, text, FILES)
    except duckdb.Error as error:
        raise explained(error, FILES) from None
    named: list[str] = []
    found: dict[str, None] = {}
    for name in dict.fromkeys(_strings_of_tables(tree)):
        files = _matches(name)
        found |= dict.fromkeys(files)
        if files or name.lower().endswith(".parquet"):
            named.append(name)
    return named, list(found)


def ask_files(query: str) -> duckdb.DuckDBPyRelation:
    """The lazy result of one statement that reads local Parquet files, and nothing else.

    Raises:
        QueryError: it names a file that does not exist, does not only read, or is not valid.
    """
    import duckdb

    named, files = named_files(query)
    if missing := [name for name in named if not _matches(name)]:
        raise QueryError(f"There is no file {missing[0]}: {FILES.remedy}.")
    connection = duckdb.connect(config={"python_enable_replacements": False})
    restrict(connection, [*named, *files])
    return ask(connection, query, FILES)


def _matches(pattern: str) -> list[str]:
    """Files of this machine that a pattern stands for; one that exists stands for itself."""
    if "\0" in pattern:
        return []
    names = [pattern] if os.path.isfile(pattern) else sorted(glob(pattern, recursive=True))
    return [name for name in names if os.path.isfile(name)]


def ask(
    connection: duckdb.DuckDBPyConnection, query: str, scope: QueryScope = STORE
) -> duckdb.DuckDBPyRelation:
    """The lazy result of one statement that reads: SELECT, WITH, DESCRIBE, SHOW, EXPLAIN ...

    The statement runs as a subquery. DuckDB counts `WITH t AS (COPY ... TO file) SELECT ...` as
    a SELECT, and refuses it there, like everything else that changes something. Columns of the
    same name get a number: `id`, `id_1`.

    Args:
        connection: A connection after `restrict`.

    Raises:
        QueryError: it is not one statement, does not only read, or is not valid.
    """
    import duckdb

    text = _without_end(query)
    explain = _EXPLAIN.match(text)
    prefix, text = (explain[0], text[explain.end() :]) if explain else ("", text)
    subquery = f"FROM (\n{text}\n)"
    try:
        _check_alone(text, scope)
        _check_functions(connection, subquery, scope)
        return connection.sql(f"{prefix}{subquery}")
    except duckdb.Error as error:
        raise explained(error, scope) from None


def explained(error: duckdb.Error, scope: QueryScope = STORE) -> QueryError:
    """An error of DuckDB while it prepares or runs a guarded query, with the remedy."""
    import duckdb

    message = str(error).strip()
    if isinstance(error, duckdb.PermissionException):
        cause = message.removeprefix("Permission Error: ").partition(" - ")[0]
        return QueryError(f"A query reads only {scope.tables} ({cause}): {scope.remedy}.")
    if "must be at the top level" in message:
        return _only_reading("a WITH that changes something", scope)
    if isinstance(error, duckdb.IOException) and scope is STORE:
        return QueryError(f"{message}: a file of the store is gone or damaged, run `repic repair`.")
    return QueryError(message)


def _without_end(query: str) -> str:
    """A query without the semicolons and comments after it.

    Raises:
        QueryError: it is not text in UTF-8.
    """
    import duckdb

    try:
        text = query.encode()
    except UnicodeEncodeError as error:  # a byte of the command line that is no text
        raise QueryError(f"A query is text in UTF-8, not {query[error.start]!a}.") from None
    for offset, kind in reversed(duckdb.tokenize(query)):  # offsets count bytes
        if kind != duckdb.token_type.comment and text[offset:].strip() != b";":
            break
        text = text[:offset]
    return text.decode().strip()


def _only_reading(kind: str, scope: QueryScope) -> QueryError:
    return QueryError(
        f"A query only reads, and this is {kind}: write one SELECT, DESCRIBE, SHOW or EXPLAIN"
        f"{scope.otherwise}."
    )


def _check_alone(text: str, scope: QueryScope) -> None:
    """Check that the text is one SELECT by itself: it cannot close the bracket around it."""
    import duckdb

    statements = duckdb.extract_statements(text)
    if len(statements) != 1:
        kind = f"{len(statements)} statements" if statements else "no statement"
        raise _only_reading(kind, scope)
    kind = statements[0].type.name
    if kind == "MULTI":  # DuckDB first makes a type of the values, which is more than reading
        raise _only_reading("a PIVOT that does not list its values as ON column IN (...)", scope)
    if kind != "SELECT":
        raise _only_reading(kind.replace("_", " "), scope)


def _check_functions(connection: duckdb.DuckDBPyConnection, query: str, scope: QueryScope) -> None:
    """Check the table functions of a query, in its syntax tree."""
    tree = _tree(connection, query, scope)
    if others := sorted(set(_table_functions(tree)) - TABLE_FUNCTIONS):
        raise QueryError(f"A query reads only {scope.tables}, not {others[0]}: {scope.remedy}.")


def _tree(connection: duckdb.DuckDBPyConnection, query: str, scope: QueryScope) -> Any:
    """The syntax tree of a query that can be a subquery."""
    [(text,)] = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise _only_reading("a statement that cannot be a subquery", scope)
    return tree


def _strings_of_tables(tree: Any, inside: bool = False) -> Iterator[str]:
    """Texts that may name files: table names, and the arguments of table functions."""
    if isinstance(tree, str) and inside:
        yield tree
    if isinstance(tree, dict):
        if tree.get("type") == "BASE_TABLE":
            yield tree["table_name"]
        inside = inside or tree.get("type") == "TABLE_FUNCTION"
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _strings_of_tables(branch, inside)


def _table_functions(tree: Any) -> Iterator[str]:
    """Names of all table functions in a syntax tree of DuckDB, in lower case."""
    if isinstance(tree, dict):
        if tree.get("type") == "TABLE_FUNCTION":
            yield tree["function"]["function_name"].lower()
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _table_functions(branch)
