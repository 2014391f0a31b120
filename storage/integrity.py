"""Integrity check of a store (`verify`) and comparison of two versions (`diff`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from storage import intact, refs, withdrawn
from storage.errors import DamagedError, StoreError
from storage.files import Files
from storage.hashing import content_hash
from storage.lineage import closure
from storage.manifest import ArtifactRef, File, Manifest, Shard, content_of
from storage.reader import MANIFESTS, StoreReader, parse_manifest_path
from storage.sql import identifier, literal

PLACE = re.compile(r"/(v?[0-9]{6,15}\.json|[0-9a-f]{64}[^/]*)$")
"""Ends of the paths of manifests, snapshots of refs, and files of versions."""

STRAY = "no such file belongs here: move it away"


@dataclass(frozen=True)
class IntegrityProblem:
    """A difference between a manifest and the store.

    Attributes:
        artifact: The affected version, such as `name@v3`, or `refs`.
        path: The affected file, relative to the store; empty if it is the version itself.
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
        ref: Check only this version and its inputs. Default: all versions, and the refs.

    Raises:
        NotFoundError: `ref` does not exist.
        StoreError: its manifest or that of an input cannot be read.
    """
    store = StoreReader(store.location, store.options)  # without cached manifests
    problems: list[IntegrityProblem] = []
    if ref is None:
        manifests = _readable(store, problems)
        problems += _check_refs(store, manifests)
        problems += [
            IntegrityProblem(path.split("/")[0], path, "a folder has the name of a file")
            for path in misplaced(store.files)
        ]
    else:
        manifests = closure(store, [store.manifest(ref)])
    for manifest in manifests:
        problems += _check_manifest(store, manifest)
    holders: dict[Shard | File, Manifest] = {}
    gone = withdrawn.find(store.files)
    for manifest in (manifest for manifest in manifests if manifest.ref not in gone):
        for part in manifest.stored:
            holders.setdefault(part, manifest)
    with ThreadPoolExecutor() as pool:
        messages = pool.map(partial(_check_part, store.files), holders)
        for (part, manifest), message in zip(holders.items(), messages, strict=True):
            if message:
                problems.append(IntegrityProblem(str(manifest.ref), part.path, message))
    return problems


def misplaced(files: Files) -> list[str]:
    """Folders in the place of a file: a manifest, a snapshot of refs, a shard, a part."""
    tops = (MANIFESTS, refs.FOLDER, "shards", "parts", "files")
    return [path for top in tops for path in files.folders(top) if PLACE.search(path)]


def _readable(store: StoreReader, problems: list[IntegrityProblem]) -> list[Manifest]:
    """All manifests that can be read; the others, and files that are none, become problems."""
    manifests = []
    for path in sorted(store.files.find(MANIFESTS)):
        exact = parse_manifest_path(path)
        if exact is None:
            problems.append(IntegrityProblem("manifests", path, STRAY))
            continue
        try:
            manifests.append(store.manifest(exact))
        except StoreError as error:
            problems.append(IntegrityProblem(str(exact), path, f"its manifest {_why(error)}"))
    return manifests


def _check_refs(store: StoreReader, manifests: list[Manifest]) -> list[IntegrityProblem]:
    """Every snapshot can be read, and the versions that the current one names exist."""
    problems = []
    existing = refs.numbers(store.files)
    for path in sorted(store.files.find(refs.FOLDER).keys() - {refs.path(n) for n in existing}):
        problems.append(IntegrityProblem("refs", path, STRAY))
    current = refs.Snapshot()
    for number in existing:
        try:
            current = refs.read(store.files, number)
        except StoreError as error:
            problems.append(IntegrityProblem("refs", refs.path(number), f"it {_why(error)}"))
    problems += [
        IntegrityProblem("refs", "", f"{name}@v{version} is referred to, but does not exist")
        for name, ref in current.refs.items()
        for version in sorted(ref.versions - set(store.versions(name)))
    ]
    if not existing and any(manifest.kind == "dataset" for manifest in manifests):
        problems.append(
            IntegrityProblem("refs", refs.FOLDER, "there are datasets, but no refs: none is latest")
        )
    return problems


def _why(error: StoreError) -> str:
    return f"cannot be read: {error.reason if isinstance(error, DamagedError) else error}"


def _check_manifest(store: StoreReader, manifest: Manifest) -> list[IntegrityProblem]:
    """Compare a version with its inputs, and its content and rows with what it lists."""
    messages = []
    inputs: list[Manifest] = []
    for bound in manifest.inputs:
        try:
            inputs.append(store.manifest(bound.ref))
            if inputs[-1].fingerprint != bound.fingerprint:
                messages.append(f"its input {bound.ref} has another fingerprint")
        except StoreError:
            messages.append(f"its input {bound.ref} does not exist or cannot be read")
    parts = _parts(manifest, inputs)
    if len(inputs) == len(manifest.inputs) or manifest.kind != "dataset":
        if manifest.content != content_of(manifest.kind, parts):
            messages.append("its content is not that of its parts")
        if manifest.rows != sum(part.rows for part in parts if not isinstance(part, File)):
            messages.append("its row count is not that of its parts")
    if manifest.kind in ("table", "dataset") and manifest.files:
        messages.append(f"it is a {manifest.kind}, but has files")
    if manifest.kind != "table" and manifest.shards:
        messages.append(f"it is a {manifest.kind}, but has shards")
    return [IntegrityProblem(str(manifest.ref), "", message) for message in messages]


def _parts(
    manifest: Manifest, inputs: Sequence[Manifest]
) -> Sequence[Shard] | Sequence[Manifest] | Sequence[File]:
    """What the content of a version is computed from."""
    if manifest.kind == "table":
        return manifest.shards
    return inputs if manifest.kind == "dataset" else manifest.files


def _check_part(files: Files, part: Shard | File) -> str | None:
    """Describe what is wrong with a file; None if it is intact."""
    if message := intact.fault(files, part, anew=True):
        return message
    if isinstance(part, Shard):
        try:
            with files.open(part.path) as handle:
                table = pq.read_table(handle)
        except (OSError, pa.ArrowException) as error:
            return f"{intact.UNREADABLE}: {error}"
        if table.num_rows != part.rows:
            return f"it has {table.num_rows} rows, not {part.rows}"
        if content_hash(table) != part.content:
            return "its rows have another content hash"
    return None


def diff(store: StoreReader, a: ArtifactRef | str, b: ArtifactRef | str) -> Diff:
    """Rows added, removed and changed from a to b, by key and in its order. Vectors become float32.

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
        order = ", ".join(identifier(k) for k in old.key)
        differs = {
            name: _differs(name, cast=types_a[name] != types_b[name])
            for name in types_a
            if name in types_b and name not in old.key
        }
        return Diff(
            added=connection.sql(f"FROM b ANTI JOIN a ON {same}").order(order).to_arrow_table(),
            removed=connection.sql(f"FROM a ANTI JOIN b ON {same}").order(order).to_arrow_table(),
            changed=connection.sql(_changed(old.key, same, differs)).order(order).to_arrow_table(),
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
