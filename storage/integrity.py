"""Integrity check of a store (`verify`) and comparison of two versions (`diff`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.errors import StoreError
from storage.files import Files
from storage.hashing import combine, content_hash
from storage.lineage import closure
from storage.manifest import ArtifactRef, File, Manifest, Shard
from storage.reader import StoreReader
from storage.sql import identifier, literal

CHUNK = 1 << 20


@dataclass(frozen=True)
class IntegrityProblem:
    """A difference between a manifest and the store.

    Attributes:
        artifact: The affected version, such as `name@v3`, or `refs`.
        path: The affected file, relative to the store; empty if it is the manifest.
    """

    artifact: str
    path: str
    message: str


@dataclass(frozen=True)
class Diff:
    """Differences from table a to table b.

    Attributes:
        added: Rows whose key is only in b.
        removed: Rows whose key is only in a.
        changed: Keys in both whose rows differ; `columns` lists the differing columns.
        columns_added: Columns that only b has; they are not compared.
        columns_removed: Columns that only a has.
    """

    added: pa.Table
    removed: pa.Table
    changed: pa.Table
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether both have the same columns and rows."""
        rows = self.added.num_rows + self.removed.num_rows + self.changed.num_rows
        return not (rows or self.columns_added or self.columns_removed)


def verify(store: StoreReader, ref: ArtifactRef | str | None = None) -> list[IntegrityProblem]:
    """Hash every file and compare files, rows, inputs and refs with the manifests.

    Args:
        ref: Check only this version and its inputs. Default: all versions.

    Raises:
        NotFoundError: `ref` does not exist.
    """
    store = StoreReader(store.location, store.options)  # without cached manifests
    problems: list[IntegrityProblem] = []
    if ref is None:
        manifests = _readable(store, problems)
        problems += _check_refs(store)
    else:
        manifests = closure(store, [store.manifest(ref)])
    for manifest in manifests:
        problems += _check_manifest(store, manifest)
    holders: dict[Shard | File, Manifest] = {}
    for manifest in manifests:
        for part in manifest.stored:
            holders.setdefault(part, manifest)
    with ThreadPoolExecutor() as pool:
        messages = pool.map(partial(_check_part, store.files), holders)
        for (part, manifest), message in zip(holders.items(), messages, strict=True):
            if message:
                problems.append(IntegrityProblem(str(manifest.ref), part.path, message))
    return problems


def _readable(store: StoreReader, problems: list[IntegrityProblem]) -> list[Manifest]:
    manifests = []
    for name in store.names():
        for version in store.versions(name):
            exact = ArtifactRef.exact(name, version)
            try:
                manifests.append(store.manifest(exact))
            except (StoreError, ValidationError, ValueError) as error:
                problems.append(
                    IntegrityProblem(str(exact), "", f"its manifest cannot be read: {error}")
                )
    return manifests


def _check_refs(store: StoreReader) -> list[IntegrityProblem]:
    return [
        IntegrityProblem("refs", "", f"{name}@v{version} is referred to, but does not exist")
        for name, ref in store.current().refs.items()
        for version in sorted(ref.versions - set(store.versions(name)))
    ]


def _check_manifest(store: StoreReader, manifest: Manifest) -> list[IntegrityProblem]:
    messages = []
    for bound in manifest.inputs:
        try:
            if store.manifest(bound.ref).fingerprint != bound.fingerprint:
                messages.append(f"its input {bound.ref} has another fingerprint")
        except (StoreError, ValueError):
            messages.append(f"its input {bound.ref} does not exist or cannot be read")
    if manifest.kind == "table":
        if manifest.content != combine(shard.content for shard in manifest.shards):
            messages.append("its content is not that of its shards")
        if manifest.rows != sum(shard.rows for shard in manifest.shards):
            messages.append("its row count is not that of its shards")
    return [IntegrityProblem(str(manifest.ref), "", message) for message in messages]


def _check_part(files: Files, part: Shard | File) -> str | None:
    """Describe what is wrong with a file; None if it is intact."""
    try:
        with files.open(part.path) as handle:
            digest = hashlib.sha256()
            while chunk := handle.read(CHUNK):
                digest.update(chunk)
            if digest.hexdigest() != part.sha256:
                return "its bytes have changed"
            if isinstance(part, Shard):
                handle.seek(0)
                table = pq.read_table(handle)
                if table.num_rows != part.rows:
                    return f"it has {table.num_rows} rows, not {part.rows}"
                if content_hash(table) != part.content:
                    return "its rows have another content hash"
    except FileNotFoundError:
        return "it is gone"
    except (OSError, pa.ArrowException) as error:
        return f"it cannot be read: {error}"
    return None


def diff(store: StoreReader, a: ArtifactRef | str, b: ArtifactRef | str) -> Diff:
    """Rows added, removed and changed from a to b, compared by key. Vectors become float32.

    Raises:
        StoreError: one of them is not a table, or their keys differ.
    """
    import duckdb

    old, new = store.manifest(a), store.manifest(b)
    with duckdb.connect() as connection:
        store.relation(old.ref, connection).create_view("a")
        store.relation(new.ref, connection).create_view("b")
        if old.key != new.key:
            raise StoreError(
                f"{old.ref} has the key {', '.join(old.key)} and {new.ref} {', '.join(new.key)}: "
                "rows can be compared only if the keys are the same."
            )
        types_a = {column.name: column.type for column in old.columns}
        types_b = {column.name: column.type for column in new.columns}
        same = " AND ".join(
            f"a.{identifier(k)} IS NOT DISTINCT FROM b.{identifier(k)}" for k in old.key
        )
        differs = {
            name: _differs(name, cast=types_a[name] != types_b[name])
            for name in types_a
            if name in types_b and name not in old.key
        }
        return Diff(
            added=connection.sql(f"FROM b ANTI JOIN a ON {same}").to_arrow_table(),
            removed=connection.sql(f"FROM a ANTI JOIN b ON {same}").to_arrow_table(),
            changed=connection.sql(_changed(old.key, same, differs)).to_arrow_table(),
            columns_added=tuple(name for name in types_b if name not in types_a),
            columns_removed=tuple(name for name in types_a if name not in types_b),
        )


def _differs(name: str, cast: bool) -> str:
    sides = [f"{side}.{identifier(name)}" for side in "ab"]
    if cast:  # for example a list that became a fixed-size list, or a wider integer
        sides = [f"{side}::VARCHAR" for side in sides]
    return " IS DISTINCT FROM ".join(sides)


def _changed(key: Sequence[str], same: str, differs: dict[str, str]) -> str:
    names = [f"CASE WHEN {test} THEN {literal(name)} END" for name, test in differs.items()]
    keys = ", ".join(f"a.{identifier(column)}" for column in key)
    return (
        f"SELECT {keys}, list_filter([{', '.join(names)}]::VARCHAR[], lambda c: c IS NOT NULL) "
        f"AS columns FROM a JOIN b ON {same} WHERE {' OR '.join(differs.values()) or 'false'}"
    )
