"""Which dataset version a report is about, and the rows behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from repic.tables import TABLES
from storage.catalog import DATASET
from storage.errors import NotFoundError, StoreError
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store


@dataclass(frozen=True)
class Version:
    """A dataset version and the tables that it binds.

    Attributes:
        store: Where it is.
        dataset: Its manifest.
        tables: Table -> the manifest that the dataset binds.
        asked: What was asked for: the dataset itself, or one of its tables.
        aliases: `latest` and the tags that the dataset has now.
    """

    store: Store
    dataset: Manifest
    tables: Mapping[str, Manifest]
    asked: ArtifactRef
    aliases: tuple[str, ...]

    def read(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a table; no rows where the version has no such table."""
        if name not in self.tables:
            return TABLES[name].empty().select(columns)
        return self.store.read(self.tables[name].ref, columns)

    def rows(self, name: str, column: str, values: Collection[str]) -> list[dict]:
        """Whole rows of a table whose `column` has one of the values, in the order of its key."""
        if name not in self.tables or not values:
            return []
        wanted = pc.field(column).isin(sorted(values))
        found = self.store.read(self.tables[name].ref, filter=wanted)
        return found.sort_by([(key, "ascending") for key in TABLES[name].key]).to_pylist()


def find(store: Store, ref: str) -> Version:
    """The dataset version that a reference names, or the newest that binds the table it names.

    Raises:
        NotFoundError: there is no such version, or no dataset binds it.
        StoreError: it is neither a dataset nor a table.
    """
    asked = store.manifest(ref)
    dataset = _binding(store, asked) if asked.kind == "table" else asked
    if dataset.kind != "dataset":
        raise StoreError(
            f"{asked.ref} is a {asked.kind}: a report is about a dataset or one of its tables, "
            "for example dataset@latest."
        )
    bound = [store.manifest(bound.ref) for bound in dataset.inputs]
    tables = {manifest.name: manifest for manifest in bound if manifest.kind == "table"}
    refs = store.current().of(dataset.name)
    tags = sorted(tag for tag, version in refs.tags.items() if version == dataset.version)
    latest = ["latest"] if refs.latest == dataset.version else []
    return Version(store, dataset, tables, asked.ref, (*latest, *tags))


def _binding(store: Store, table: Manifest) -> Manifest:
    for number in reversed(store.versions(DATASET)):
        dataset = store.manifest(ArtifactRef.exact(DATASET, number))
        if any(bound.ref == table.ref for bound in dataset.inputs):
            return dataset
    raise NotFoundError(
        f"No dataset binds {table.ref}: its build did not end, so run it again, "
        "or ask for dataset@latest."
    )
