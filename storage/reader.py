"""Read access to a store: its versions, references to them, and their rows."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from storage import formats, refs
from storage.errors import NotFoundError
from storage.files import open_files
from storage.manifest import ArtifactRef, Manifest, check_format

if TYPE_CHECKING:
    import datasets
    import duckdb
    import pyarrow.compute as pc


class StoreReader:
    """Read-only operations of a store. Manifests are immutable, so each is read once and cached."""

    def __init__(self, location: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Use `Store.open`, which checks that the store exists."""
        self.location = location
        self.options = dict(storage_options or {})
        self.files = open_files(location, self.options)
        self._manifests: dict[str, Manifest] = {}

    def forget(self) -> None:
        """Clear the cache of manifests; needed after versions were removed."""
        self._manifests.clear()

    def names(self) -> list[str]:
        """Names of all artifacts, sorted."""
        return sorted({path.split("/")[1] for path in self.files.find("manifests")})

    def versions(self, name: str) -> list[int]:
        """Numbers of all published versions of a name, ascending; empty for an unknown name."""
        pattern = re.compile(rf"manifests/{re.escape(name)}/v(\d+)\.json")
        matches = (pattern.fullmatch(path) for path in self.files.find(f"manifests/{name}"))
        return sorted(int(match[1]) for match in matches if match)

    def find(self, name: str, fingerprint: str) -> Manifest | None:
        """The newest version with this fingerprint, committed or not."""
        return self.find_among(name, self.versions(name), fingerprint)

    def resolve(self, ref: ArtifactRef | str) -> ArtifactRef:
        """The exact version that a reference names at this moment.

        Raises:
            NotFoundError: there is no such version; the message lists what exists.
        """
        ref = ArtifactRef.parse(ref) if isinstance(ref, str) else ref
        # Read refs before versions: another process may publish and commit in between, and then
        # the list of versions would lack the one that the newer refs name.
        ref_state = refs.current(self.files).of(ref.name)
        versions = self.versions(ref.name)
        if not versions:
            raise self._unknown_name(ref.name)
        number = ref.version
        if number is None:
            number = ref_state.number(ref.selector)
        if number not in versions:
            choices = [f"v{version}" for version in versions[-10:]]
            choices += ["latest"] if ref_state.latest else []
            raise NotFoundError(
                f"There is no {ref}: choose one of {', '.join([*choices, *sorted(ref_state.tags)])}"
                + (f" (and {len(versions) - 10} older ones)." if len(versions) > 10 else ".")
            )
        return ArtifactRef.exact(ref.name, number)

    def manifest(self, ref: ArtifactRef | str) -> Manifest:
        """The manifest of a version. Raises: NotFoundError."""
        exact = self.resolve(ref) if isinstance(ref, str) or ref.version is None else ref
        path = manifest_path(exact.name, exact.version or 0)
        if path not in self._manifests:
            try:
                data = json.loads(self.files.read(path))
            except FileNotFoundError:
                self.resolve(exact)  # raises an error that lists what exists
                raise
            check_format(data["format_version"], str(exact))
            self._manifests[path] = Manifest.model_validate(data)
        return self._manifests[path]

    def history(self) -> list[refs.Snapshot]:
        """All snapshots of refs that are still kept, newest first."""
        return [refs.read(self.files, number) for number in reversed(refs.numbers(self.files))]

    def current(self) -> refs.Snapshot:
        """The current refs."""
        return refs.current(self.files)

    def find_among(self, name: str, versions: Sequence[int], fingerprint: str) -> Manifest | None:
        """As `find`, but only among the given versions."""
        for version in reversed(versions):
            manifest = self.manifest(ArtifactRef.exact(name, version))
            if manifest.fingerprint == fingerprint:
                return manifest
        return None

    def _unknown_name(self, name: str) -> NotFoundError:
        names = self.names()
        near = difflib.get_close_matches(name, names, 1)
        if not names:
            return NotFoundError(f"There is no {name}: the store is empty, run a build first.")
        return NotFoundError(
            f"There is no {name}" + (f", did you mean {near[0]}" if near else "") + "? "
            f"The store has {', '.join(names)}."
        )

    # Reading

    def read(
        self,
        ref: ArtifactRef | str,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
    ) -> pa.Table:
        """A table as Arrow, each field with its `doc`. Raises: StoreError."""
        manifest = self.manifest(ref)
        paths = formats.paths(manifest)
        return formats.read_table(self.files, paths, manifest.schema_arrow, columns, filter)

    def relation(
        self, ref: ArtifactRef | str, connection: duckdb.DuckDBPyConnection | None = None
    ) -> duckdb.DuckDBPyRelation:
        """A table as a lazy DuckDB relation over its files. Raises: StoreError."""
        return formats.relation(self.files, self.manifest(ref), connection)

    def dataset(
        self, ref: ArtifactRef | str, columns: Sequence[str] | None = None
    ) -> datasets.Dataset:
        """A table as `datasets.Dataset` that wraps the Arrow table. Raises: StoreError."""
        return formats.dataset(self.files, self.manifest(ref), columns)

    def checkout(self, ref: ArtifactRef | str, folder: str | os.PathLike[str]) -> Path:
        """Copy the files of a checkpoint or report into a folder. Raises: StoreError."""
        return formats.checkout(self.files, self.manifest(ref), Path(folder))


def manifest_path(name: str, version: int) -> str:
    """Path of a manifest, relative to the store."""
    return f"manifests/{name}/v{version:06d}.json"
