"""The DuckDB catalog: `catalog.duckdb`, a small file of views for any DuckDB client.

It is derived from manifests and refs and replaced atomically. Views name their files by absolute
path, so they work from any folder; after moving a store, write the catalog again.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from storage.errors import StoreError, store_errors
from storage.files import TEMPORARY, make_folder
from storage.lineage import edges
from storage.manifest import ArtifactRef, Manifest
from storage.refs import Snapshot
from storage.sql import escape_glob, identifier, literal
from storage.store import Store

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

DATASET = "dataset"
"""The artifact whose versions become schemas; `main` shows its latest version."""

FILE = "catalog.duckdb"

ARTIFACTS = pa.schema(
    {
        "name": pa.string(),
        "version": pa.int64(),
        "ref": pa.string(),
        "kind": pa.string(),
        "fingerprint": pa.string(),
        "content": pa.string(),
        "rows": pa.int64(),
        "bytes": pa.int64(),
        "created": pa.timestamp("us", "UTC"),
        "latest": pa.bool_(),
        "tags": pa.list_(pa.string()),
        "code_version": pa.string(),
        "settings": pa.string(),
        "models": pa.string(),
        "sources": pa.string(),
        "notes": pa.string(),
        "run": pa.string(),
    }
)
LINEAGE = pa.schema(
    {
        "name": pa.string(),
        "version": pa.int64(),
        "input_kind": pa.string(),
        "input_name": pa.string(),
        "input_version": pa.int64(),
        "input_fingerprint": pa.string(),
        "detail": pa.string(),
    }
)
SHARDS = pa.schema(
    {
        "name": pa.string(),
        "version": pa.int64(),
        "path": pa.string(),
        "sha256": pa.string(),
        "bytes": pa.int64(),
        "rows": pa.int64(),
        "content": pa.string(),
    }
)
JSON_COLUMNS = {"settings", "models", "sources", "notes", "run", "detail"}


def catalog(
    store: Store,
    *,
    extra_views: Mapping[str, str] | None = None,
    comments: Mapping[str, Mapping[str, str]] | None = None,
    renamed: Mapping[str, Mapping[str, str]] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Path:
    """Write the catalog from the manifests.

    Args:
        extra_views: Name -> SELECT over the tables of one dataset version, by their bare names. The
            view is created in `main` and in the schema of each version that has these tables.
        comments: View -> column -> comment, in addition to the documentation in manifests.
        renamed: Table -> column -> former name. The views of all versions have both names.
        path: Where to write it. Default: inside the store.

    Raises:
        StoreError: the store is not local and no path is given, or it cannot be written.
    """
    if path is None and not store.files.local:
        raise StoreError(
            f"A catalog is a local file, and {store.location} is not local: give a path for it."
        )
    target = Path(path if path is not None else store.files.full(FILE)).absolute()
    folder = store.files.full(TEMPORARY) if path is None else str(target.parent)
    with store_errors(str(target)), store.lease():
        make_folder(folder)
        while True:
            snapshot = store.current()
            temporary = Path(folder, f"{uuid.uuid4().hex}.duckdb")
            try:
                _write(
                    store,
                    snapshot,
                    str(temporary),
                    extra_views or {},
                    comments or {},
                    renamed or {},
                )
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            # Another process may have moved the refs and replaced the file meanwhile.
            if store.current().number == snapshot.number:
                return target


def _write(
    store: Store,
    snapshot: Snapshot,
    path: str,
    extra_views: Mapping[str, str],
    comments: Mapping[str, Mapping[str, str]],
    renamed: Mapping[str, Mapping[str, str]],
) -> None:
    import duckdb

    manifests = [
        store.manifest(ArtifactRef.exact(name, version))
        for name in store.names()
        for version in store.versions(name)
    ]
    with duckdb.connect() as connection:
        if not store.files.local:
            connection.register_filesystem(store.files.fs)
        # The oldest storage version with comments on columns, so that older clients can read it.
        connection.execute(f"ATTACH {literal(path)} AS catalog (STORAGE_VERSION 'v1.0.0')")
        connection.execute("USE catalog.main")
        _fill(connection, "artifacts", ARTIFACTS, [_artifact(m, snapshot) for m in manifests])
        _fill(connection, "lineage", LINEAGE, [row for m in manifests for row in _edges(store, m)])
        _fill(connection, "shards", SHARDS, [row for m in manifests for row in _shards(store, m)])
        latest = _latest(store, snapshot)
        _views(store, connection, "main", latest, extra_views, comments, renamed)
        for manifest in manifests:
            if manifest.name == DATASET and manifest.kind == "dataset":
                schema = f"v{manifest.version}"
                connection.execute(f"CREATE SCHEMA {schema}")
                connection.execute(f"USE catalog.{schema}")
                bound = _bound(store, manifest)
                _views(store, connection, schema, bound, extra_views, comments, renamed)
        connection.execute("USE memory.main")
        connection.execute("DETACH catalog")


def _latest(store: Store, snapshot: Snapshot) -> list[Manifest]:
    """Tables of `main`: those that the latest dataset binds, and the latest of all others."""
    latest = {
        name: store.manifest(ArtifactRef.exact(name, ref.latest))
        for name, ref in snapshot.refs.items()
        if ref.latest
    }
    if DATASET in latest:
        latest |= {manifest.name: manifest for manifest in _bound(store, latest[DATASET])}
    return [manifest for manifest in latest.values() if manifest.kind == "table"]


def _bound(store: Store, dataset: Manifest) -> list[Manifest]:
    inputs = [store.manifest(bound.ref) for bound in dataset.inputs]
    return [manifest for manifest in inputs if manifest.kind == "table"]


def _views(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    tables: list[Manifest],
    extra_views: Mapping[str, str],
    comments: Mapping[str, Mapping[str, str]],
    renamed: Mapping[str, Mapping[str, str]],
) -> None:
    import duckdb

    aliases = {table.name: _aliases(table, renamed.get(table.name, {})) for table in tables}
    selects = {table.name: _select(store, table, aliases[table.name]) for table in tables}
    selects |= extra_views
    docs: dict[str, dict[str, str]] = {
        table.name: {column.name: column.doc for column in table.columns if column.doc}
        | {alias: f"The same as {column}." for alias, column in aliases[table.name].items()}
        for table in tables
    }
    for name, select in selects.items():
        try:
            connection.execute(f"CREATE VIEW {identifier(name)} AS {select}")
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            # Old versions, and a store before its first build, lack tables that a view needs.
            log.info("no view %s.%s: %s", schema, name, error)
            continue
        except duckdb.IOException as error:
            log.warning("no view %s.%s, run verify: %s", schema, name, error)
            continue
        _comment(connection, name, {**docs.get(name, {}), **comments.get(name, {})})


def _aliases(table: Manifest, renamed: Mapping[str, str]) -> dict[str, str]:
    """Names to add to a view -> the columns that they rename: former names, or new ones."""
    columns = {column.name for column in table.columns}
    pairs = [pair for name, former in renamed.items() for pair in ((name, former), (former, name))]
    return {alias: column for alias, column in pairs if column in columns and alias not in columns}


def _select(store: Store, table: Manifest, aliases: Mapping[str, str]) -> str:
    files = ", ".join(literal(escape_glob(store.files.url(shard.path))) for shard in table.shards)
    names = [identifier(column.name) for column in table.columns]
    names += [f"{identifier(column)} AS {identifier(alias)}" for alias, column in aliases.items()]
    return f"SELECT {', '.join(names)} FROM read_parquet([{files}])"


def _comment(connection: duckdb.DuckDBPyConnection, view: str, docs: Mapping[str, str]) -> None:
    for column in connection.table(view).columns if docs else []:
        if column in docs:
            target = f"{identifier(view)}.{identifier(column)}"
            connection.execute(f"COMMENT ON COLUMN {target} IS {literal(docs[column])}")


def _fill(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    schema: pa.Schema,
    rows: list[dict[str, Any]],
) -> None:
    connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
    columns = ", ".join(
        f"{column}::JSON AS {column}" if column in JSON_COLUMNS else column
        for column in schema.names
    )
    connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")
    connection.unregister("incoming")


def _artifact(manifest: Manifest, snapshot: Snapshot) -> dict[str, Any]:
    ref = snapshot.of(manifest.name)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "ref": str(manifest.ref),
        "kind": manifest.kind,
        "fingerprint": manifest.fingerprint,
        "content": manifest.content,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "created": manifest.created,
        "latest": ref.latest == manifest.version,
        "tags": sorted(tag for tag, version in ref.tags.items() if version == manifest.version),
        "code_version": manifest.code_version,
        "settings": json.dumps(manifest.settings),
        "models": json.dumps(manifest.models),
        "sources": json.dumps(manifest.sources),
        "notes": json.dumps(manifest.notes),
        "run": manifest.run.model_dump_json(),
    }


def _edges(store: Store, manifest: Manifest) -> Iterator[dict[str, Any]]:
    for edge in edges(store, manifest):
        yield {
            "name": manifest.name,
            "version": manifest.version,
            "input_kind": edge.input.kind,
            "input_name": edge.input.name,
            "input_version": edge.input.version,
            "input_fingerprint": edge.input.fingerprint,
            "detail": edge.input.detail or None,
        }


def _shards(store: Store, manifest: Manifest) -> Iterator[dict[str, Any]]:
    for shard in manifest.shards:
        row = shard.model_dump() | {"path": store.files.url(shard.path)}
        yield {"name": manifest.name, "version": manifest.version, **row}
