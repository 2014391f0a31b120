"""Rows of the examples table: the version that a reference names, a split, a balanced sample."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from repic.errors import DataError
from repic.objectives.base import Row, seed_of
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.store import Store


def examples_of(store: Store, ref: str) -> Manifest:
    """The examples version that a reference names, directly or through a dataset.

    Args:
        ref: For example `examples@v3`, `dataset@latest`.

    Raises:
        StoreError: there is no such version, or it has no examples.
    """
    manifest = store.manifest(ref)
    if manifest.kind == "dataset":
        bound = next((i.ref for i in manifest.inputs if i.name == "examples"), None)
        if bound is not None:
            return store.manifest(bound)
    elif manifest.kind == "table" and manifest.name == "examples":
        return manifest
    raise StoreError(f"{manifest.ref} has no training examples: give examples@v3, or a dataset.")


def read(store: Store, examples: Manifest, split: str) -> pa.Table:
    """Rows of one split, ordered by `example_id`.

    Raises:
        DataError: the split is empty.
    """
    rows = store.read(examples.ref, filter=pc.field("split") == split)
    if not rows.num_rows:
        splits = sorted(set(store.read(examples.ref, ["split"])["split"].to_pylist()))
        has = f"it has {', '.join(splits)}" if splits else "it has no rows at all"
        raise DataError(f"{examples.ref} has no rows of the split {split}: {has}")
    return rows.sort_by("example_id")


def balanced(rows: pa.Table, per_objective: int, seed: int = 0) -> list[Row]:
    """At most `per_objective` rows of each objective, drawn by id, sorted by objective."""
    order = sorted(rows.to_pylist(), key=lambda r: seed_of(seed, r["example_id"]))
    chosen: dict[str, list[Row]] = {}
    for row in order:
        taken = chosen.setdefault(row["objective"], [])
        if len(taken) < per_objective:
            taken.append(row)
    return [row for objective in sorted(chosen) for row in chosen[objective]]
