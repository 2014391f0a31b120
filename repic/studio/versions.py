"""The tables of one dataset version, in memory as far as pages need them.

A version never changes, so what is made of it is kept. Tables are read as Arrow through their
manifests and hashed; nothing stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache, cachedmethod
from cachetools.keys import hashkey
from numpy.typing import NDArray

from repic.pipeline.reviews import either_order
from repic.report import dataset
from repic.report.dataset import DatasetVersion
from repic.studio.pair_index import PairIndex
from repic.studio.row_ids import RowIds, column_ids, rows_of
from storage.store import Store

Ints = NDArray[np.int64]

KEPT = 2
"""Versions whose tables stay in memory: the latest, and one that somebody compares with it."""

PHOTO_COLUMNS = (
    *("image_id", "uri", "width", "height", "format", "near_duplicate_group", "source", "licence"),
    *("identity", "caption", "label", "split"),
)
EXAMPLE_COLUMNS = (
    *("example_id", "image_id", "objective", "kind", "split", "template_id", "answer"),
    *("band", "similarity", "origin"),
)
OBJECT_COLUMNS = (
    *("object_id", "image_id", "x1", "y1", "x2", "y2", "label", "confidence", "main"),
    *("identity", "identity_origin", "detector", "reviewed_box", "label_origin"),
)


class VersionTables:
    """A dataset version: its photos and objects by row, and its pairs in order."""

    def __init__(self, version: DatasetVersion) -> None:
        self.version = version
        self._frequent: dict[str, list[str]] = {}

    @property
    def number(self) -> int:
        """Version of the dataset."""
        return self.version.dataset.version

    @cached_property
    def photos(self) -> pa.Table:
        """`PHOTO_COLUMNS`, in order of their addresses."""
        return self.version.read("images", PHOTO_COLUMNS).sort_by("uri").combine_chunks()

    @cached_property
    def photo_ids(self) -> RowIds:
        """Rows of `photos`."""
        return RowIds(column_ids(self.photos["image_id"]))

    @cached_property
    def objects(self) -> pa.Table:
        """`OBJECT_COLUMNS`, with the label that prompts use as `called`, and the row of the photo
        as `photo`."""
        table = self.version.read("objects", OBJECT_COLUMNS).combine_chunks()
        table = table.append_column("called", self._labels(table))
        photos = rows_of(table["image_id"], self.photos["image_id"])
        return table.append_column("photo", pa.array(photos))

    @cached_property
    def object_ids(self) -> RowIds:
        """Rows of `objects`."""
        return RowIds(column_ids(self.objects["object_id"]))

    @cached_property
    def groups(self) -> pa.Table:
        """Group and split of each object that has a vector, and its photo."""
        columns = ["object_id", "image_id", "group", "origin", "split"]
        return self.version.read("groups", columns).combine_chunks()

    @cached_property
    def examples(self) -> pa.Table:
        """`EXAMPLE_COLUMNS`, in order of their ids."""
        table = self.version.read("examples", EXAMPLE_COLUMNS)
        if table["image_id"].null_count:  # of a version before that column
            images = self.version.read("examples", ["images"])["images"].to_pylist()
            queries = pa.array([entries[-1]["image_id"] for entries in images], pa.string())
            at = table.column_names.index("image_id")
            table = table.set_column(at, "image_id", queries)
        return table.sort_by("example_id").combine_chunks()

    @cached_property
    def doubtful(self) -> int:
        """Number of doubtful pairs; of the same two objects in both orders, one."""
        said = self.version.dataset.notes.get("pairs", {}).get("doubtful_in_either_order")
        if said is not None or "pairs" not in self.version.tables:
            return said or 0
        columns, manifest = ["anchor_id", "other_id"], self.version.tables["pairs"]
        rows = self.version.store.read(manifest.ref, columns, filter=pc.field("doubtful"))
        return len(either_order(rows))

    @cached_property
    def pairs(self) -> PairIndex:
        """All pairs, the most doubtful first."""
        table = self.version.read("pairs", PairIndex.COLUMNS)
        ids = self.objects["object_id"]
        ends = [rows_of(table[end], ids) for end in ("anchor_id", "other_id")]
        return PairIndex(table, *ends)

    def frequent(self, column: str) -> list[str]:
        """Values of a column of the objects, the most frequent first."""
        if column not in self._frequent:
            counts = pc.value_counts(self.objects[column]).to_pylist()
            ranked = sorted(counts, key=lambda c: (-c["counts"], c["values"] or ""))
            self._frequent[column] = [c["values"] for c in ranked if c["values"]]
        return self._frequent[column]

    def photo(self, row: int) -> dict[str, Any]:
        """A row of `photos`."""
        return self.photos.slice(row, 1).to_pylist()[0]

    def objects_at(
        self, rows: Sequence[int] | NDArray[np.integer[Any]]
    ) -> list[dict[str, Any] | None]:
        """Rows of `objects`; None for -1."""
        known = [int(row) for row in rows if row >= 0]
        taken = self.objects.take(pa.array(known, pa.int64())).to_pylist()
        found = dict(zip(known, taken, strict=True))
        return [found.get(int(row)) for row in rows]

    def objects_of(self, image_id: str) -> Ints:
        """Rows of the objects of a photo."""
        is_its = pc.equal(self.objects["image_id"], image_id)
        return np.flatnonzero(is_its.to_numpy(zero_copy_only=False))

    def _labels(self, objects: pa.Table) -> pa.ChunkedArray:
        if "labels" not in self.version.tables:
            return objects["label"]
        labels = self.version.read("labels", ["object_id", "label"])
        rows = rows_of(objects["object_id"], labels["object_id"])
        return labels["label"].take(pa.array(rows, mask=rows < 0))


class Versions:
    """The dataset versions of a store; those used last stay in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._kept: LRUCache[Any, VersionTables] = LRUCache(KEPT)

    def find(self, number: int | None = None) -> VersionTables:
        """A version, by default the latest.

        Raises:
            storage.errors.NotFoundError: there is none.
            storage.errors.StoreError: it cannot be read.
        """
        ref = self._store.resolve("dataset@latest" if number is None else f"dataset@v{number}")
        return self._of(ref.version or 0)

    @cachedmethod(
        lambda self: self._kept, lambda _, number: hashkey(number), lock=lambda self: self._lock
    )
    def _of(self, number: int) -> VersionTables:
        return VersionTables(dataset.find(self._store, f"dataset@v{number}"))
