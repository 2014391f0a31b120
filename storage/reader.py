"""Read access to a store: its versions, references to them, and their rows."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from storage import documents, formats, intact, listing, refs, withdrawn
from storage.documents import FORMAT_VERSION
from storage.errors import DamagedError, NotFoundError, StoreError
from storage.locations import open_files
from storage.manifest import NAME, ArtifactRef, Manifest
from storage.numbered import Numbered

if TYPE_CHECKING:
    import datasets
    import duckdb
    import pyarrow.compute as pc


MANIFESTS = "manifests"

READERS = 16
"""Threads that read manifests from an object store."""

_HEAD = re.compile(rb'\{\n "format_version": %d,\n "fingerprint": "([^"\\]*)",\n' % FORMAT_VERSION)
"""How a manifest starts. A text in JSON has no line breaks, so lines of one space are members."""


class StoreReader:
    """Read-only operations of a store. Manifests are immutable, so each is read once and cached."""

    def __init__(self, location: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Use `Store.open`, which checks that the store exists."""
        self.location = location
        self.options = dict(storage_options or {})
        self.files = open_files(location, self.options)
        self._manifests: dict[str, Manifest] = {}
        self._fingerprints: dict[str, dict[int, str | None]] = {}

    def forget(self, ref: ArtifactRef | None = None) -> None:
        """Clear the cache of manifests, or that of one; needed after versions were removed."""
        if ref:
            self._manifests.pop(manifest_path(ref.name, ref.version or 0), None)
        else:
            self._manifests.clear()
            self._fingerprints.clear()
            self.files.forget_numbers()

    def names(self) -> list[str]:
        """Names of all artifacts, sorted."""
        found = (parse_manifest_path(path) for path in self.files.paths(MANIFESTS))
        return sorted({ref.name for ref in found if ref})

    def versions(self, name: str, folder: str = MANIFESTS) -> list[int]:
        """Numbers of all published versions of a name, ascending; empty for an unknown name."""
        return listing.numbers(self.files.names(f"{folder}/{name}"), "v")

    def manifests(self) -> list[Manifest]:
        """The manifests of all versions, by name and number. Raises: DamagedError, StoreError."""
        found = (parse_manifest_path(path) for path in self.files.paths(MANIFESTS))
        exact = sorted((ref.name, ref.version) for ref in found if ref and ref.version)
        return [self.manifest(ArtifactRef.exact(*ref)) for ref in exact]

    def numbered(self, name: str) -> Numbered:
        """The numbers of the versions of a name, which need no listing each time."""
        return self.files.numbered(f"{MANIFESTS}/{name}", "v")

    def find(
        self, name: str, fingerprint: str, versions: Set[int] | None = None
    ) -> Manifest | None:
        """The newest intact version with this fingerprint, committed or not, and not withdrawn.

        Args:
            versions: Look only among these; by default among all.

        Raises:
            StoreError: a manifest cannot be read.
        """
        for manifest in self.find_all(name, fingerprint, versions):
            if not (self.faults(manifest) or withdrawn.is_marked(self.files, manifest.ref)):
                return manifest
        return None

    def find_all(
        self, name: str, fingerprint: str, versions: Set[int] | None = None
    ) -> Iterator[Manifest]:
        """All versions with this fingerprint, intact or not, newest first. See `find`."""
        numbered = self.numbered(name)
        versions = numbered.look() if versions is None else versions
        known = self._read_fingerprints(name, versions)
        same = [version for version in versions if known.get(version) == fingerprint]
        for version in sorted(same, reverse=True):
            # One that another process has removed does not count, though this one has read it.
            if self.files.present(f"{MANIFESTS}/{name}", [numbered.name(version)]):
                yield self.manifest(ArtifactRef.exact(name, version))

    def _read_fingerprints(self, name: str, versions: Set[int]) -> Mapping[int, str | None]:
        """The fingerprints of these versions at least. Each is read once. Raises: StoreError."""
        known = self._fingerprints.setdefault(name, {})
        unread = sorted(versions - known.keys())
        with ThreadPoolExecutor(READERS) as pool:
            each = map if self.files.local else pool.map
            known |= zip(unread, each(partial(self._fingerprint, name), unread), strict=True)
        return known

    def _fingerprint(self, name: str, version: int) -> str | None:
        """The fingerprint of a version, whose manifest is hashed, but parsed only if need be.

        None if the version was removed meanwhile.
        """
        path = manifest_path(name, version)
        try:
            text = documents.sealed(self.files, path) or b""
        except FileNotFoundError:
            return None
        own = f'\n "name": "{name}",\n "version": {version},\n'.encode()
        if (head := _HEAD.match(text)) and own in text:
            return head[1].decode()
        return self.manifest(ArtifactRef.exact(name, version)).fingerprint

    def faults(self, manifest: Manifest) -> dict[str, str]:
        """Path -> what is wrong, of the files of a version; for a dataset, of its tables.

        A file is hashed once per process, size and time of change.
        """
        if manifest.kind != "dataset":
            return intact.faults(self.files, manifest.stored)
        found: dict[str, str] = {}
        for bound in manifest.inputs:
            try:
                table = self.manifest(bound.ref)
            except (NotFoundError, DamagedError) as error:
                found[manifest_path(bound.name, bound.version)] = str(error)
                continue
            found |= intact.faults(self.files, table.stored)
            if table.fingerprint != bound.fingerprint:
                found[manifest_path(bound.name, bound.version)] = "it has another fingerprint"
        return found

    def resolve(self, ref: ArtifactRef | str) -> ArtifactRef:
        """The exact version that a reference names at this moment.

        Raises:
            NotFoundError: there is no such version; the message lists what exists.
        """
        ref = ArtifactRef.parse(ref) if isinstance(ref, str) else ref
        # Read refs before versions: another process may publish and commit in between, and then
        # the list of versions would lack the one that the newer refs name.
        ref_state = refs.current(self.files).of(ref.name)
        number = ref.version or ref_state.number(ref.selector)
        if number and self.files.exists(manifest_path(ref.name, number)):
            return ArtifactRef.exact(ref.name, number)
        versions = self.versions(ref.name)
        if not versions:
            raise self._unknown_name(ref.name)
        if number not in versions:
            choices = [f"v{version}" for version in versions[-10:]]
            choices += ["latest"] if ref_state.latest else []
            raise NotFoundError(
                f"There is no {ref}: choose one of {', '.join([*choices, *sorted(ref_state.tags)])}"
                + (f" (and {len(versions) - 10} older ones)." if len(versions) > 10 else ".")
            )
        return ArtifactRef.exact(ref.name, number)

    def manifest(self, ref: ArtifactRef | str) -> Manifest:
        """The manifest of a version. Raises: NotFoundError, DamagedError, StoreError."""
        exact = self.resolve(ref) if isinstance(ref, str) or ref.version is None else ref
        path = manifest_path(exact.name, exact.version or 0)
        if path not in self._manifests:
            try:
                manifest = documents.read(self.files, path, Manifest)
            except FileNotFoundError:
                self.resolve(exact)  # raises an error that lists what exists
                raise StoreError(f"{exact} cannot be read now: try again.") from None
            if manifest.ref != exact:
                raise DamagedError(self.files.full(path), f"it describes {manifest.ref}")
            self._manifests[path] = manifest
        return self._manifests[path]

    def history(self) -> list[refs.Snapshot]:
        """All snapshots of refs that are still kept, newest first."""
        return [refs.read(self.files, number) for number in reversed(refs.numbers(self.files))]

    def current(self) -> refs.Snapshot:
        """The current refs."""
        return refs.current(self.files)

    def _unknown_name(self, name: str) -> NotFoundError:
        names = self.names()
        near = difflib.get_close_matches(name, names, 1)
        if not names:
            return NotFoundError(f"There is no {name}: the store is empty, run a build first.")
        meant = f" Did you mean {near[0]}?" if near else ""
        return NotFoundError(f"There is no {name}.{meant} The store has {', '.join(names)}.")

    # Reading

    def read(
        self,
        ref: ArtifactRef | str,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
    ) -> pa.Table:
        """A table as Arrow, each field with its `doc`; its files are hashed. Raises: StoreError."""
        manifest = self.manifest(ref)
        paths = formats.paths(manifest)
        self._check(manifest)
        return formats.read_table(self.files, paths, manifest.schema_arrow, columns, filter)

    def batches(
        self,
        ref: ArtifactRef | str,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """A table in batches of at most 1024 rows, in the order of its files, which are hashed.

        Raises: StoreError.
        """
        manifest = self.manifest(ref)
        paths = formats.paths(manifest)
        self._check(manifest)
        yield from formats.read_batches(self.files, paths, manifest.schema_arrow, columns, filter)

    def relation(
        self, ref: ArtifactRef | str, connection: duckdb.DuckDBPyConnection | None = None
    ) -> duckdb.DuckDBPyRelation:
        """A table as a lazy DuckDB relation over its files, which are not hashed.

        Raises: StoreError.
        """
        manifest = self.manifest(ref)
        self._check_kept(manifest)
        return formats.relation(self.files, manifest, connection)

    def dataset(
        self, ref: ArtifactRef | str, columns: Sequence[str] | None = None
    ) -> datasets.Dataset:
        """A table as `datasets.Dataset` that wraps the Arrow table. Raises: StoreError."""
        manifest = self.manifest(ref)
        return formats.dataset(self.read(manifest.ref, columns), manifest)

    def checkout(self, ref: ArtifactRef | str, folder: str | os.PathLike[str]) -> Path:
        """Copy the files of a checkpoint or report into a folder. Raises: StoreError."""
        manifest = self.manifest(ref)
        self._check_kept(manifest)
        return formats.checkout(self.files, manifest, Path(folder))

    def read_file(self, ref: ArtifactRef | str, name: str) -> bytes:
        """The bytes of one file of a checkpoint or report. Raises: StoreError."""
        manifest = self.manifest(ref)
        self._check_kept(manifest)
        return formats.read_file(self.files, manifest, name)

    def _check(self, manifest: Manifest) -> None:
        """Raises: NotFoundError: it is withdrawn; DamagedError: a shard is not intact."""
        try:
            intact.check(self.files, manifest.shards)
        except DamagedError:
            self._check_kept(manifest)
            raise

    def _check_kept(self, manifest: Manifest) -> None:
        """Raises: NotFoundError: the version is withdrawn."""
        if withdrawn.is_marked(self.files, manifest.ref):
            raise NotFoundError(
                f"{manifest.ref} is withdrawn, its content was deleted: use another version."
            )


def manifest_path(name: str, version: int) -> str:
    """Path of a manifest, relative to the store."""
    return f"{MANIFESTS}/{name}/v{version:06d}.json"


def parse_manifest_path(path: str) -> ArtifactRef | None:
    """The version whose manifest has this path; None for any other file."""
    match = re.fullmatch(rf"{MANIFESTS}/({NAME.pattern})/v([0-9]{{6,15}})\.json", path)
    if not match or path != manifest_path(match[1], int(match[2])) or not int(match[2]):
        return None
    return ArtifactRef.exact(match[1], int(match[2]))
