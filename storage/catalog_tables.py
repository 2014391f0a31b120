"""Tables of the catalog that describe a store: its versions, their inputs and their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from storage.lineage import edges
from storage.manifest import Manifest
from storage.refs import Snapshot
from storage.store import Store

if TYPE_CHECKING:
    import duckdb

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
SNAPSHOT = pa.schema(
    {
        "store": pa.string(),
        "number": pa.int64(),
        "moved": pa.timestamp("us", "UTC"),
        "why": pa.string(),
        "versions": pa.string(),
        "views": pa.string(),
    }
)
"""One row: folder or URL of the store; number, time and reason of the refs that the catalog shows;
hashes of the list of all versions and of the definition of the views."""

JSON_COLUMNS = {"settings", "models", "sources", "notes", "run", "detail"}


def describe(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    manifests: list[Manifest],
    snapshot: Snapshot,
    shown: dict[str, Any],
) -> None:
    """Create the tables in the current schema."""
    _fill(connection, "snapshot", SNAPSHOT, [shown])
    _fill(connection, "artifacts", ARTIFACTS, [_artifact(m, snapshot) for m in manifests])
    _fill(connection, "lineage", LINEAGE, [row for m in manifests for row in _edges(store, m)])
    _fill(connection, "shards", SHARDS, [row for m in manifests for row in _shards(store, m)])


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
