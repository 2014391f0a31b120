"""The reading half of a store: what there is, what a reference means, and the rows behind it."""

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
    """Everything that leaves a store as it is. Manifests never change, so each is read once."""

    def __init__(self, location: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Use `Store.open`, which checks what is there."""
        self.location = location
        self.options = dict(storage_options or {})
        self.files = open_files(location, self.options)
        self._known: dict[str, Manifest] = {}

    def forget(self) -> None:
        """Read manifests again: after some were removed."""
        self._known.clear()

    def names(self) -> list[str]:
        """Names of all artifacts, sorted."""
        return sorted({path.split("/")[1] for path in self.files.find("manifests")})

    def versions(self, name: str) -> list[int]:
        """Numbers of all published versions of a name, ascending; none for an unknown name."""
        pattern = re.compile(rf"manifests/{re.escape(name)}/v(\d+)\.json")
        found = (pattern.fullmatch(path) for path in self.files.find(f"manifests/{name}"))
        return sorted(int(match[1]) for match in found if match)

    def find(self, name: str, fingerprint: str) -> Manifest | None:
        """The newest version with this fingerprint, committed or not."""
        return self.find_among(name, self.versions(name), fingerprint)

    def resolve(self, ref: ArtifactRef | str) -> ArtifactRef:
        """The exact version that a reference means now.

        Raises:
            NotFoundError: it means nothing; the message lists what exists.
        """
        ref = ArtifactRef.parse(ref) if isinstance(ref, str) else ref
        # Refs first: what they mean was published before, while a version that is listed first may
        # be older than refs that another process moves in between.
        known = refs.current(self.files).of(ref.name)
        versions = self.versions(ref.name)
        if not versions:
            raise self._unknown_name(ref.name)
        number = ref.version
        if number is None:
            number = known.number(ref.selector)
        if number not in versions:
            choices = [f"v{version}" for version in versions[-10:]]
            choices += ["latest"] if known.latest else []
            raise NotFoundError(
                f"There is no {ref}: choose one of {', '.join([*choices, *sorted(known.tags)])}"
                + (f" (and {len(versions) - 10} older ones)." if len(versions) > 10 else ".")
            )
        return ArtifactRef.exact(ref.name, number)

    def manifest(self, ref: ArtifactRef | str) -> Manifest:
        """Raises: NotFoundError."""
        exact = self.resolve(ref) if isinstance(ref, str) or ref.version is None else ref
        path = manifest_path(exact.name, exact.version or 0)
        if path not in self._known:
            try:
                data = json.loads(self.files.read(path))
            except FileNotFoundError:
                self.resolve(exact)  # says what exists
                raise
            check_format(data["format_version"], str(exact))
            self._known[path] = Manifest.model_validate(data)
        return self._known[path]

    def history(self) -> list[refs.Snapshot]:
        """All moves of refs that are still logged, newest first."""
        return [refs.read(self.files, number) for number in reversed(refs.numbers(self.files))]

    def current(self) -> refs.Snapshot:
        """The refs as they are now."""
        return refs.current(self.files)

    def find_among(self, name: str, versions: Sequence[int], fingerprint: str) -> Manifest | None:
        """As `find`, among versions that were listed before."""
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
        """A table as `datasets.Dataset` around the Arrow table, not copied. Raises: StoreError."""
        return formats.dataset(self.files, self.manifest(ref), columns)

    def checkout(self, ref: ArtifactRef | str, folder: str | os.PathLike[str]) -> Path:
        """Copy the files of a checkpoint or report into a folder. Raises: StoreError."""
        return formats.checkout(self.files, self.manifest(ref), Path(folder))


def manifest_path(name: str, version: int) -> str:
    """Path of a manifest, relative to the store."""
    return f"manifests/{name}/v{version:06d}.json"
