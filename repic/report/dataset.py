"""The dataset version that a report is about, and the rows behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.tables import TABLES
from storage.catalog import DATASET
from storage.errors import NotFoundError, StoreError
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

UNSURE = "unsure"
"""Stands for the label of an object that nothing names with enough certainty."""


@dataclass(frozen=True)
class DatasetVersion:
    """A dataset version and the tables that it binds.

    Attributes:
        store: The store that holds it.
        dataset: Its manifest.
        tables: Table -> the manifest that the dataset binds.
        requested: The version that the user named: the dataset itself, or one of its tables.
        aliases: `latest` and the tags that the dataset has now.
    """

    store: Store
    dataset: Manifest
    tables: Mapping[str, Manifest]
    requested: ArtifactRef
    aliases: tuple[str, ...]

    def read(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a table, null where an older version lacks them; no rows without the table."""
        if name not in self.tables:
            return TABLES[name].empty().select(columns)
        manifest = self.tables[name]
        present = [column for column in columns if column in manifest.schema_arrow.names]
        table = self.store.read(manifest.ref, present)
        for column in columns:
            if column not in present:
                kind = TABLES[name].schema.field(column).type
                table = table.append_column(column, pa.nulls(table.num_rows, kind))
        return table.select(columns)

    def rows(self, name: str, column: str, values: Collection[str]) -> list[dict]:
        """Rows of a table whose `column` has one of the values, in the order of its key."""
        if name not in self.tables or not values:
            return []
        condition = pc.field(column).isin(sorted(values))
        table = self.store.read(self.tables[name].ref, filter=condition)
        return table.sort_by([(key, "ascending") for key in TABLES[name].key]).to_pylist()

    def labels(self, objects: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
        """Object id -> what prompts call it, `unsure` if nothing is sure enough.

        Args:
            objects: Rows of the objects table, for versions that have no table of labels.
        """
        rows = list(objects)
        if "labels" not in self.tables:
            return {row["object_id"]: row["label"] for row in rows}
        ids = {row["object_id"] for row in rows}
        labels = self.rows("labels", "object_id", ids)
        return {row["object_id"]: row["label"] or UNSURE for row in labels}

    def photo_uris(self, image_ids: Collection[str]) -> Mapping[str, str]:
        """Image id -> URI of the photo."""
        rows = self.rows("images", "image_id", image_ids)
        return {row["image_id"]: row["uri"] for row in rows}


def find(store: Store, ref: str) -> DatasetVersion:
    """The dataset version that a reference names, or the newest that binds the table it names.

    Raises:
        NotFoundError: there is no such version, or no dataset binds it.
        StoreError: it is neither a dataset nor a table.
    """
    requested = store.manifest(ref)
    dataset = _binding(store, requested) if requested.kind == "table" else requested
    if dataset.kind != "dataset":
        raise StoreError(
            f"{requested.ref} is a {requested.kind}: a report is about a dataset or one of its "
            "tables, for example dataset@latest."
        )
    bound = [store.manifest(bound.ref) for bound in dataset.inputs]
    tables = {manifest.name: manifest for manifest in bound if manifest.kind == "table"}
    refs = store.current().of(dataset.name)
    tags = sorted(tag for tag, version in refs.tags.items() if version == dataset.version)
    latest = ["latest"] if refs.latest == dataset.version else []
    return DatasetVersion(store, dataset, tables, requested.ref, (*latest, *tags))


def _binding(store: Store, table: Manifest) -> Manifest:
    for number in reversed(store.versions(DATASET)):
        dataset = store.manifest(ArtifactRef.exact(DATASET, number))
        if any(bound.ref == table.ref for bound in dataset.inputs):
            return dataset
    raise NotFoundError(
        f"No dataset binds {table.ref}: its build did not finish, so run it again, "
        "or ask for dataset@latest."
    )
