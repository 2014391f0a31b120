"""A store of versions: parts, tables, datasets and files are published, then committed together.

`storage.publishing` has the steps, and what a kill or a second writer does to them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from storage import documents, formats, intact, kept_parts, publishing, refs, shards, withdrawn
from storage import parts as part_files
from storage.documents import FORMAT_VERSION, Frozen, check_format
from storage.errors import (
    DamagedError,
    MovedError,
    NotFoundError,
    StoreError,
)
from storage.files import MARKER
from storage.leases import Leases
from storage.manifest import (
    ArtifactRef,
    Manifest,
    Origin,
    check_name,
    content_of,
    describe_schema,
)
from storage.parts import Part
from storage.reader import StoreReader

AfterChange = Callable[["Store"], object]
"""Called with a store after its refs or versions have changed."""


class Marker(Frozen):
    """Content of `store.json`, which makes a folder a store."""

    format_version: int = Field(ge=1)


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
            StoreError: it has a newer format, is broken, cannot be reached, or cannot be written.
        """
        store = cls(os.fspath(location), storage_options, after_change)
        try:
            marker = documents.read(store.files, MARKER, Marker)
        except FileNotFoundError:
            if not create:
                raise NotFoundError(
                    f"There is no store at {location}: check the path, or run a build to make one."
                ) from None
            store.files.create(MARKER, json.dumps({"format_version": FORMAT_VERSION}).encode())
            marker = documents.read(store.files, MARKER, Marker)
        except DamagedError:
            raise StoreError(
                f"{MARKER} of {location} is broken: if that is a store, write "
                f'{{"format_version": {FORMAT_VERSION}}} into it, else choose another folder.'
            ) from None
        check_format(marker.format_version, f"The store at {location}")
        if create:
            store.files.check_creation()
        return store

    # Writing

    def lease(self) -> AbstractContextManager[None]:
        """Hold a lease: while it is held, gc deletes nothing."""
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
        """Write results durably before a version refers to them.

        Args:
            recipe: Hash of everything that maps an input to rows: stage, version, model, settings.
            covers: Ids of the inputs whose complete result this is, including those without rows.
            note: Further information about these inputs; opaque to the store.

        Raises:
            StoreError: no space, no permission, or a column type that Parquet does not preserve.
        """
        with self.lease():
            return part_files.write(self.files, table_name, recipe, rows, covers, note)

    def parts(self, table_name: str, recipe: str) -> list[Part]:
        """All intact parts of a recipe, hashed once per process. Others are skipped."""
        return part_files.find(self.files, table_name, recipe)

    def set_aside_parts(self, table_name: str, recipe: str) -> dict[str, str]:
        """Move damaged parts of a recipe to `damaged/`, so that they are computed again.

        Returns:
            Path -> what is wrong, of each.
        """
        with self.lease():
            return part_files.set_aside(self.files, table_name, recipe)

    def keep_parts(self, table_name: str, recipe: str, use: str, parts: Iterable[Part]) -> None:
        """Keep parts that no version will name from gc; see `storage.kept_parts`.

        Raises:
            StoreError: no space, no permission.
        """
        with self.lease():
            kept_parts.keep(self.files, table_name, recipe, use, parts)

    def read_part(self, part: Part, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows of a part."""
        return formats.read_table(self.files, [part.shard.path], part.schema, columns)

    def publish(
        self,
        name: str,
        data: pa.Table | Sequence[Part] | Iterator[pa.Table],
        origin: Origin,
        *,
        key: Sequence[str],
        schema: pa.Schema | None = None,
    ) -> Manifest:
        """Publish a table, or return the existing version with the same fingerprint.

        `latest` does not move until `commit`.

        Args:
            data: Rows, which are sorted by key and split into shards; parts, which are referenced
                without copying; or an iterator over tables, whose rows are sorted within each
                shard, so that one shard is in memory.
            key: Columns that together identify a row.
            schema: Column documentation (`doc` metadata). Required if `data` is an empty list or
                iterator.

        Raises:
            NotDeterministicError: the same fingerprint exists with different content.
            StoreError: a key is duplicated, an input does not exist, the parts have different
                columns, or the store cannot be written.
        """
        check_name(name)
        with self.lease():
            if isinstance(data, pa.Table):
                written, stored_schema = publishing.write_shards(self.files, name, data, key)
                schema = schema or data.schema
            elif isinstance(data, Iterator):
                written, stored_schema = publishing.write_stream(
                    self.files, name, data, schema, key
                )
            elif data:
                written, stored_schema = part_files.adopt(name, data)
                intact.check(self.files, written)
            else:
                written, stored_schema = publishing.write_shards(
                    self.files, name, shards.empty_table(name, schema), key
                )
            documented = shards.with_documentation(name, stored_schema, schema or stored_schema)
            publishing.check_key(self.files, name, written, documented, key)
            return publishing.create(
                self,
                origin,
                name=name,
                kind="table",
                content=content_of("table", written),
                rows=sum(shard.rows for shard in written),
                key=tuple(key),
                shards=written,
                **describe_schema(documented),
            )

    def publish_dataset(self, name: str, origin: Origin) -> Manifest:
        """Publish a version that binds the tables of `origin.inputs`. See `publish`."""
        check_name(name)
        with self.lease():
            tables = [self.manifest(bound.ref) for bound in origin.inputs]
            return publishing.create(
                self,
                origin,
                name=name,
                kind="dataset",
                content=content_of("dataset", tables),
                rows=sum(table.rows for table in tables),
            )

    def publish_files(
        self,
        name: str,
        data: Mapping[str, Path | bytes],
        origin: Origin,
        *,
        kind: Literal["checkpoint", "report"],
    ) -> Manifest:
        """Publish files, given by their path inside the artifact. See `publish`."""
        check_name(name)
        with self.lease():
            files = tuple(
                publishing.write_file(self.files, path, data[path]) for path in sorted(data)
            )
            return publishing.create(
                self,
                origin,
                name=name,
                kind=kind,
                content=content_of(kind, files),
                rows=0,
                files=files,
            )

    def commit(
        self,
        versions: Mapping[str, int],
        tags: Mapping[str, int] | None = None,
        since: refs.Snapshot | None = None,
    ) -> refs.Snapshot:
        """Move `latest` of all given names, and tags, in one atomic step; then run `after_change`.

        Args:
            versions: Name -> version that becomes `latest`.
            tags: Tag -> version, for example `{"checkpoint@production": 3}`.
            since: Snapshot that the decision to commit was based on. If one of these refs has moved
                since then, nothing moves.

        Raises:
            NotFoundError: one of the versions does not exist, or is withdrawn.
            MovedError: one of the refs has moved since `since`.
            StoreError: a tag would read as a version or as `latest`.
        """
        tagged = {refs.parse_tag(text): number for text, number in (tags or {}).items()}
        moves = {ArtifactRef(name): number for name, number in versions.items()} | tagged
        exact = [ArtifactRef.exact(ref.name, number) for ref, number in moves.items()]

        def move(before: refs.Refs) -> dict[str, refs.Ref]:
            after = dict(before)
            for ref, number in moves.items():
                current = after.get(ref.name, refs.Ref())
                target = current.number(ref.selector)
                if since is not None and target != since.of(ref.name).number(ref.selector):
                    raise MovedError(f"{ref} was moved meanwhile: look at it, and try again.")
                after[ref.name] = current.moved(ref.selector, number)
            return after

        log = [f"commit {' '.join(map(str, exact[: len(versions)]))}"] if versions else []
        log += [f"tag {ArtifactRef.exact(t.name, n)} {t.selector}" for t, n in tagged.items()]
        with self.lease():
            for ref in exact:  # anew: gc of another process may have removed it since it was read
                self.forget(ref)
                self._check_kept(self.manifest(ref))
            snapshot = refs.move(self.files, move, ", ".join(log))
        self.changed()
        return snapshot

    def tag(self, ref: ArtifactRef | str, tag: str) -> ArtifactRef:
        """Tag a version; the tag moves if another version has it.

        Raises:
            NotFoundError: no such version.
            StoreError: the tag would read as a version or as `latest`.
        """
        exact = self.resolve(ref)
        self.commit({}, {f"{exact.name}@{tag}": exact.version or 0})
        return exact

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag.

        Raises:
            NotFoundError: no such tag.
        """
        self.resolve(ArtifactRef(name, tag))

        def remove(before: refs.Refs) -> dict[str, refs.Ref]:
            ref = before.get(name, refs.Ref())
            kept = {other: number for other, number in ref.tags.items() if other != tag}
            return {**before, name: ref.model_copy(update={"tags": kept})}

        with self.lease():
            refs.move(self.files, remove, f"untag {name}@{tag}")
        self.changed()

    def withdraw(self, versions: Collection[ArtifactRef]) -> None:
        """Give up the content of versions: no ref names them, and gc deletes their files.

        Their manifests stay, since others name them; see `storage.withdrawn`.

        Raises:
            NotFoundError: one of them does not exist.
            StoreError: the store cannot be written.
        """
        with self.lease():
            for ref in versions:
                self.manifest(ref)
            gone = withdrawn.find(self.files) | set(versions)
            left = {
                name: [n for n in self.versions(name) if ArtifactRef.exact(name, n) not in gone]
                for name in {ref.name for ref in versions}
            }
            refs.move(
                self.files,
                lambda before: withdrawn.refs_without(before, versions, left),
                f"withdraw {' '.join(sorted(map(str, versions)))}",
            )
            for ref in versions:
                withdrawn.mark(self.files, ref)
        self.changed()

    def changed(self) -> None:
        """Run `after_change`; every operation that moves refs or removes versions ends with it."""
        if self._after_change:
            self._after_change(self)
