"""A store of versions, and the protocol that publishes one.

    1. shards   temporary file, close, re-open and check, fsync, rename to the content name
    2. manifest create-if-absent under the next free number
    3. refs     create-if-absent of the next snapshot: `latest` moves for all tables at once

A kill at any point leaves whole files that nothing refers to, which gc removes. Two writers never
meet in one file: the loser of a number takes the next one, or the winner's version if it was made
from the same things.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from storage import formats, refs, shards
from storage import parts as _parts
from storage.errors import MovedError, NotDeterministicError, NotFoundError, StoreError
from storage.hashing import combine, fingerprint
from storage.leases import Leases
from storage.manifest import (
    FORMAT_VERSION,
    ArtifactRef,
    File,
    Manifest,
    Origin,
    Shard,
    check_format,
    check_name,
    describe_schema,
)
from storage.parts import Part
from storage.reader import StoreReader, manifest_path

MARKER = "store.json"
CHUNK = 1 << 20

AfterChange = Callable[["Store"], object]
"""Called with a store after its refs or versions have changed."""


class Store(StoreReader):
    """Versioned artifacts under one path or fsspec URL. Cheap to open, picklable, thread-safe."""

    def __init__(
        self,
        location: str,
        storage_options: Mapping[str, Any] | None = None,
        after_change: AfterChange | None = None,
    ) -> None:
        """Use `Store.open`, which checks that the store exists."""
        super().__init__(location, storage_options)
        self.leases = Leases(self.files)
        self._after_change = after_change

    def __reduce__(self) -> tuple[type[Store], tuple[Any, ...]]:
        return Store, (self.location, self.options, self._after_change)

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        create: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        after_change: AfterChange | None = None,
    ) -> Store:
        """Open a store, or create one.

        Args:
            location: Path or fsspec URL.
            create: Create the store if there is none.
            storage_options: Options of the fsspec file system.
            after_change: Called with the store after each commit, untag and gc, for example to
                refresh what is derived from it. Must be picklable if the store is to be pickled.

        Raises:
            NotFoundError: there is none, and `create` is false.
            StoreError: it has a newer format, is broken, or cannot be written.
        """
        store = cls(os.fspath(location), storage_options, after_change)
        try:
            marker = store.files.read(MARKER)
        except (FileNotFoundError, NotADirectoryError):
            if not create:
                raise NotFoundError(
                    f"There is no store at {location}: check the path, or run a build to make one."
                ) from None
            store.files.create(MARKER, json.dumps({"format_version": FORMAT_VERSION}).encode())
            marker = store.files.read(MARKER)
        try:
            version = json.loads(marker)["format_version"]
        except (ValueError, TypeError, KeyError):
            raise StoreError(
                f"{MARKER} of {location} is broken: if that is a store, write "
                f'{{"format_version": {FORMAT_VERSION}}} into it, else choose another folder.'
            ) from None
        check_format(version, f"The store at {location}")
        return store

    # Writing

    def lease(self) -> AbstractContextManager[None]:
        """Hold this while a build runs: gc removes nothing that is not yet referenced."""
        return self.leases.build()

    def write_part(
        self,
        table_name: str,
        rows: pa.Table,
        *,
        recipe: str,
        covers: Sequence[str],
        note: str = "",
    ) -> Part:
        """Keep the result of some inputs, durably, before any version refers to it.

        Args:
            recipe: Hash of what makes a row from its input: stage, its version, model, settings.
            covers: Ids of the inputs that this is the whole result of, those without rows too.
            note: What its maker wants to know of these inputs besides their rows.

        Raises:
            StoreError: no space, no permission, or a type that does not survive Parquet.
        """
        with self.lease():
            return _parts.write(self.files, table_name, recipe, rows, covers, note)

    def parts(self, table_name: str, recipe: str) -> list[Part]:
        """All results that a recipe has. Files that are not whole are left out with a warning."""
        return _parts.find(self.files, table_name, recipe)

    def read_part(self, part: Part, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of a part."""
        return formats.read_table(self.files, [part.shard.path], part.schema, columns)

    def publish(
        self,
        name: str,
        data: pa.Table | Sequence[Part],
        origin: Origin,
        *,
        key: Sequence[str],
        schema: pa.Schema | None = None,
    ) -> Manifest:
        """Publish a table; if one with the same fingerprint exists, that one is returned.

        Nothing becomes visible under `latest` before `commit`.

        Args:
            data: Rows, which are sorted by key and split; or parts, which are referenced as they
                are.
            key: Columns that together name a row.
            schema: Column documentation (`doc` metadata); and the columns, if there are no parts.

        Raises:
            NotDeterministicError: the same fingerprint exists with other rows.
            StoreError: a key is there twice, an input does not exist, the parts do not fit
                together, or the store cannot be written.
        """
        with self.lease():
            if isinstance(data, pa.Table):
                written, found = self._write_shards(name, data, key)
                schema = schema or data.schema
            elif data:
                written, found = _adopt(name, data)
            else:
                written, found = self._write_shards(name, _empty(name, schema), key)
            documented = _documented(name, found, schema or found)
            self._check_key(name, written, documented, key)
            return self._publish(
                Manifest(
                    **dict(origin),
                    name=name,
                    version=1,
                    kind="table",
                    content=combine(shard.content for shard in written),
                    rows=sum(shard.rows for shard in written),
                    key=tuple(key),
                    shards=written,
                    **describe_schema(documented),
                )
            )

    def publish_dataset(self, name: str, origin: Origin) -> Manifest:
        """Publish a version that binds the tables of `origin.inputs` together. As `publish`."""
        with self.lease():
            tables = [self.manifest(bound.ref) for bound in origin.inputs]
            return self._publish(
                Manifest(
                    **dict(origin),
                    name=name,
                    version=1,
                    kind="dataset",
                    content=fingerprint(sorted([table.name, table.content] for table in tables)),
                    rows=sum(table.rows for table in tables),
                )
            )

    def publish_files(
        self,
        name: str,
        data: Mapping[str, Path | bytes],
        origin: Origin,
        *,
        kind: Literal["checkpoint", "report"],
    ) -> Manifest:
        """Publish files, given by their path inside the artifact. As `publish`."""
        with self.lease():
            files = tuple(self._write_file(path, data[path]) for path in sorted(data))
            return self._publish(
                Manifest(
                    **dict(origin),
                    name=name,
                    version=1,
                    kind=kind,
                    content=fingerprint([[file.name, file.sha256] for file in files]),
                    rows=0,
                    files=files,
                )
            )

    def commit(
        self,
        versions: Mapping[str, int],
        tags: Mapping[str, int] | None = None,
        since: refs.Snapshot | None = None,
    ) -> refs.Snapshot:
        """Make versions visible: moves `latest` of all the names, and tags, in one step.

        Args:
            tags: What tags are to mean, for example `{"checkpoint@production": 3}`.
            since: The refs that this was decided upon; if one that is to move has moved since then,
                nothing moves.

        Raises:
            NotFoundError: one of the versions does not exist.
            MovedError: one of the refs has moved since then.
            StoreError: a tag would read as a version or as `latest`.
        """
        tagged = {_tag_of(text): number for text, number in (tags or {}).items()}
        moves = {ArtifactRef(name): number for name, number in versions.items()} | tagged
        exact = [ArtifactRef.exact(ref.name, number) for ref, number in moves.items()]

        def changed(now: refs.Refs) -> dict[str, refs.Ref]:
            found = dict(now)
            for ref, number in moves.items():
                current = found.get(ref.name, refs.Ref())
                meant = current.number(ref.selector)
                if since is not None and meant != since.of(ref.name).number(ref.selector):
                    raise MovedError(f"{ref} was moved meanwhile: look at it, and try again.")
                found[ref.name] = current.moved(ref.selector, number)
            return found

        said = [f"commit {' '.join(map(str, exact[: len(versions)]))}"] if versions else []
        said += [f"tag {ArtifactRef.exact(t.name, n)} {t.selector}" for t, n in tagged.items()]
        with self.lease():
            self.forget()  # gc of another process may have removed what was read before the lease
            for ref in exact:
                self.manifest(ref)
            snapshot = refs.move(self.files, changed, ", ".join(said))
        self.changed()
        return snapshot

    def tag(self, ref: ArtifactRef | str, tag: str) -> ArtifactRef:
        """Give a version a tag, taking it from the version that had it.

        Raises:
            NotFoundError: no such version.
            StoreError: the tag would read as a version or as `latest`.
        """
        exact = self.resolve(ref)
        self.commit({}, {f"{exact.name}@{tag}": exact.version or 0})
        return exact

    def untag(self, name: str, tag: str) -> None:
        """Take a tag away.

        Raises:
            NotFoundError: no such tag.
        """
        self.resolve(ArtifactRef(name, tag))

        def changed(now: refs.Refs) -> dict[str, refs.Ref]:
            ref = now.get(name, refs.Ref())
            kept = {other: number for other, number in ref.tags.items() if other != tag}
            return {**now, name: ref.model_copy(update={"tags": kept})}

        with self.lease():
            refs.move(self.files, changed, f"untag {name}@{tag}")
        self.changed()

    def changed(self) -> None:
        """Run `after_change`; every operation that moves refs or removes versions ends with it."""
        if self._after_change:
            self._after_change(self)

    # The steps of publishing

    def _write_shards(
        self, name: str, rows: pa.Table, key: Sequence[str]
    ) -> tuple[tuple[Shard, ...], pa.Schema]:
        check_name(name)
        _check_columns(name, rows.schema, key)
        written = [
            shards.write(self.files, f"shards/{name}", piece)
            for piece in shards.split(rows, key, shards.ROWS_PER_SHARD)
        ]
        return tuple(shard for shard, _ in written), written[0][1]

    def _write_file(self, name: str, source: Path | bytes) -> File:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise StoreError(f"{name!r} would lie outside the artifact: use a relative path.")
        chunks = [source] if isinstance(source, bytes) else _chunks(source)
        stored = self.files.put("files", path.suffix, chunks, lambda written: None)
        return File(name=name, path=stored.path, sha256=stored.sha256, bytes=stored.bytes)

    def _check_key(
        self, name: str, written: Sequence[Shard], schema: pa.Schema, key: Sequence[str]
    ) -> None:
        _check_columns(name, schema, key)
        rows = formats.read_table(self.files, [s.path for s in written], schema, list(key))
        counts = rows.group_by(list(key)).aggregate([([], "count_all")])
        if counts.num_rows < rows.num_rows:
            twice = counts.sort_by([("count_all", "descending")]).slice(0, 1).to_pylist()[0]
            raise StoreError(
                f"{name} has {twice.pop('count_all')} rows with the key {twice}: "
                "give each row once, or add the column that tells them apart to the key."
            )

    def _publish(self, draft: Manifest) -> Manifest:
        """Create the manifest under the next number, or find that its version exists."""
        check_name(draft.name)
        for bound in draft.inputs:
            if self.manifest(bound.ref).fingerprint != bound.fingerprint:
                raise StoreError(f"{bound.ref} is not the version that was read: build again.")
        while True:
            versions = self.versions(draft.name)
            if existing := self.find_among(draft.name, versions, draft.fingerprint):
                return _same(existing, draft)
            number = versions[-1] + 1 if versions else 1
            manifest = draft.model_copy(update={"version": number})
            if self._create_manifest(manifest):
                return manifest

    def _create_manifest(self, manifest: Manifest) -> bool:
        data = manifest.model_dump_json(indent=1).encode()
        return self.files.create(manifest_path(manifest.name, manifest.version), data)


def _same(existing: Manifest, draft: Manifest) -> Manifest:
    if existing.content != draft.content:
        raise NotDeterministicError(
            f"{existing.ref} was made from the same things (fingerprint {draft.fingerprint}) but "
            f"has other content ({existing.rows} rows, now {draft.rows}): what made it is not "
            "deterministic, or changed without a new stage version; compare with diff."
        )
    return existing


def _adopt(name: str, parts: Sequence[Part]) -> tuple[tuple[Shard, ...], pa.Schema]:
    """Shards of parts, each once, in order of their names; they must have one schema."""
    first = parts[0]
    for part in parts:
        if not part.schema.equals(first.schema):
            raise StoreError(
                f"Parts of {name} have different columns ({part.shard.path}, {first.shard.path}): "
                "give what makes them another recipe."
            )
    unique = {part.shard.path: part.shard for part in parts}
    return tuple(unique[path] for path in sorted(unique)), first.schema


def _empty(name: str, schema: pa.Schema | None) -> pa.Table:
    if schema is None:
        raise StoreError(f"{name} has no parts: give its schema.")
    return schema.empty_table()


def _documented(name: str, found: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """The schema of the files with the documentation of `wanted`."""
    if sorted(found.names) != sorted(wanted.names):
        raise StoreError(
            f"{name} has the columns {', '.join(found.names)}, but its schema says "
            f"{', '.join(wanted.names)}: change what makes the rows, or the schema."
        )
    return pa.schema([f.with_metadata(wanted.field(f.name).metadata or {}) for f in found])


def _check_columns(name: str, schema: pa.Schema, key: Sequence[str]) -> None:
    if not key or set(key) - set(schema.names):
        raise StoreError(
            f"{name} needs a key out of its columns {', '.join(schema.names)}, not {list(key)}."
        )


def _tag_of(text: str) -> ArtifactRef:
    """A reference by tag.

    Raises:
        StoreError: it would read as a version or as `latest`.
    """
    ref = ArtifactRef.parse(text)
    if ref.version or ref.selector == "latest":
        raise StoreError(f"{ref.selector!r} cannot be a tag: it already means a version.")
    return ref


def _chunks(source: Path) -> Iterator[bytes]:
    with open(source, "rb") as handle:
        while chunk := handle.read(CHUNK):
            yield chunk
