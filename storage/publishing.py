"""The steps of publishing: shards and files are written first, then one manifest names them.

    1. shards   write a temporary file, fsync, re-open and check it, rename it to its content name
    2. manifest create-if-absent under the next free number
    3. refs     create-if-absent of the next snapshot, see `Store.commit`

A process killed at any point leaves complete but unreferenced files, which gc removes. Two writers
never write the same file: the one that loses a number takes the next one, or uses the winner's
version if that has the same fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from storage import documents, formats, intact, refs, shards
from storage.errors import NotDeterministicError, StoreError
from storage.files import Files
from storage.manifest import File, Manifest, Origin, Shard, check_inside
from storage.reader import MANIFESTS, StoreReader, manifest_path

CHUNK = 1 << 20
"""Bytes that are read of a file at a time."""


def write_shards(
    files: Files, name: str, rows: pa.Table, key: Sequence[str]
) -> tuple[tuple[Shard, ...], pa.Schema]:
    """Write rows as shards, sorted by key; the schema is the one that was stored.

    Raises:
        StoreError: a key column is absent, or the store cannot be written.
    """
    shards.check_key_columns(name, rows.schema, key)
    written = shards.write_sorted(files, f"shards/{name}", rows, key)
    return tuple(shard for shard, _ in written), written[0][1]


def write_stream(
    files: Files,
    name: str,
    tables: Iterator[pa.Table],
    schema: pa.Schema | None,
    key: Sequence[str],
) -> tuple[tuple[Shard, ...], pa.Schema]:
    """Write the rows of some tables as shards, each sorted by key, one of which is in memory.

    Raises:
        StoreError: as `write_shards`, or there are no tables and no schema.
    """
    written: list[Shard] = []
    stored = None
    for block in _blocks(tables):
        more, stored = write_shards(files, name, block, key)
        written += more
    if stored is None:
        return write_shards(files, name, shards.empty_table(name, schema), key)
    return tuple(written), stored


def _blocks(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of the tables, at least as many at once as a shard has."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= shards.ROWS_PER_SHARD:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def write_file(files: Files, name: str, source: Path | bytes) -> File:
    """Write a file of an artifact under its content name.

    Args:
        name: Its path inside the artifact.

    Raises:
        StoreError: no artifact can have a file of this name, or the store cannot be written.
    """
    try:
        suffix = PurePosixPath(check_inside(name)).suffix
    except ValueError as error:
        raise StoreError(f"A file cannot have this name in an artifact: {error}.") from error
    chunks = [source] if isinstance(source, bytes) else _chunks(source)
    stored = files.put("files", suffix, chunks, lambda written: None)
    return File(name=name, path=stored.path, sha256=stored.sha256, bytes=stored.bytes)


def check_key(
    files: Files, name: str, written: Sequence[Shard], schema: pa.Schema, key: Sequence[str]
) -> None:
    """Check that each key stands once in the shards.

    Raises:
        StoreError: it does not, or a key column is absent.
    """
    shards.check_key_columns(name, schema, key)
    rows = formats.read_table(files, [s.path for s in written], schema, list(key))
    # To sort them takes half the memory of counting each, which finds the one to name.
    if shards.ascends(rows, key) or shards.ascends(shards.ordered(rows, key), key):
        return
    counts = rows.group_by(list(key)).aggregate([([], "count_all")])
    if counts.num_rows < rows.num_rows:
        duplicate = counts.sort_by([("count_all", "descending")]).slice(0, 1).to_pylist()[0]
        raise StoreError(
            f"{name} has {duplicate.pop('count_all')} rows with the key {duplicate}: "
            "give each row once, or add the column that distinguishes them to the key."
        )


def create(store: StoreReader, origin: Origin, **fields: Any) -> Manifest:
    """Create the manifest under the next number, or return the intact existing version.

    A version of the same fingerprint with lost or damaged files does not count: the new one takes
    its place.

    Args:
        fields: Of the manifest, besides those of its origin and its number.

    Raises:
        NotDeterministicError: the same fingerprint exists with different content.
        StoreError: a field cannot be stored, an input has changed, or the store cannot be written.
    """
    draft = _draft(origin, fields)
    for bound in draft.inputs:
        if store.manifest(bound.ref).fingerprint != bound.fingerprint:
            raise StoreError(f"{bound.ref} is not the version that was read: build again.")
    numbered = store.numbered(draft.name)
    listed = False
    while True:
        versions = numbered.look()
        if existing := store.find(draft.name, draft.fingerprint, versions):
            return _same(existing, draft)
        number = _next_number(store, draft.name, versions)
        if number > max(versions, default=0) + 1 and not listed:
            # Numbers are missing: gc may have removed more of them than a look gets over.
            numbered.forget()
            listed = True
            continue
        manifest = draft.model_copy(update={"version": number})
        if _create_manifest(store.files, manifest):
            return manifest
        if number not in store.versions(draft.name):
            path = store.files.full(manifest_path(draft.name, number))
            raise StoreError(f"{path} is there, but is no file: move it away.")
        numbered.forget()


def _draft(origin: Origin, fields: Mapping[str, Any]) -> Manifest:
    """The manifest without its number."""
    try:
        return Manifest(**dict(origin), **fields, version=1)
    except ValidationError as error:
        raise StoreError(
            f"{fields['name']} cannot be published ({documents.reason(error)}): change what is "
            "given to publish."
        ) from error


def _create_manifest(files: Files, manifest: Manifest) -> bool:
    path = manifest_path(manifest.name, manifest.version)
    return files.create(path, documents.encode(manifest))


def _next_number(store: StoreReader, name: str, versions: Set[int]) -> int:
    """The next free number; that of a lost version, which others may name, is not free."""
    aside = store.versions(name, f"{intact.ASIDE}/{MANIFESTS}")
    named = refs.current(store.files).of(name).versions
    return max((0, *versions, *aside, *named)) + 1


def _same(existing: Manifest, draft: Manifest) -> Manifest:
    if existing.content != draft.content:
        raise NotDeterministicError(
            f"{existing.ref} has the same fingerprint ({draft.fingerprint}) but different content "
            f"({existing.rows} rows, now {draft.rows}): its code is not deterministic, or changed "
            "without a new stage version; compare them with diff."
        )
    return existing


def _chunks(source: Path) -> Iterator[bytes]:
    with open(source, "rb") as handle:
        while chunk := handle.read(CHUNK):
            yield chunk
