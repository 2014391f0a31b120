"""Nearest neighbors that an earlier build found, kept in the store for the next one.

They are parts of no table; the last one of each collection is kept from `repic gc`. They are
written again only after one object in twenty is new, so that a small addition writes little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from repic.mining.similarity import Neighbors
from storage.hashing import fingerprint, row_hashes
from storage.store import Store

if TYPE_CHECKING:
    from repic.mining.increments import Kept

NAME = "neighbors"
"""Folder of the parts."""

VERSION = 1
"""Of the search: increase it if equal vectors give other neighbors."""

KEY = "S16"
"""A key as NumPy has it."""


@dataclass(frozen=True)
class KeptNeighbors:
    """The memory of searches (see `repic.mining.increments.Memory`) in a store."""

    store: Store
    key: np.ndarray

    @classmethod
    def of(cls, store: Store, objects: pa.Table, vectors: pa.Array) -> KeptNeighbors:
        """Args:
        objects: Table with the columns `object_id` and `near_duplicate_group`.
        vectors: Vectors of these objects.
        """
        known = objects.select(["object_id", "near_duplicate_group"])
        lanes = row_hashes(known.append_column("vector", vectors))
        return cls(store, np.ascontiguousarray(lanes.T).view(KEY)[:, 0])

    def recall(self, collection: str) -> Kept | None:
        """The kept result that has most of the objects."""
        from repic.mining.increments import Kept

        best, most = None, 0
        for part in self.store.parts(NAME, _recipe()):
            if part.covers == (collection,):
                rows = self.store.read_part(part, ["key"])
                if (common := int(np.isin(_values(rows, "key", KEY), self.key).sum())) > most:
                    best, most = part, common
        if best is None:
            return None
        self.store.keep_parts(NAME, _recipe(), collection, [best])
        rows = self.store.read_part(best)
        index, similarity = (_values(rows, *c) for c in (("index", "<i4"), ("similarity", "<i2")))
        near = Neighbors(index.reshape(rows.num_rows, -1), similarity.reshape(rows.num_rows, -1))
        return Kept(_values(rows, "key", KEY), near)

    def keep(self, collection: str, kept: Kept) -> None:
        """Write a part. Raises: StoreError."""
        columns = {
            "key": _binary(kept.key),
            "index": _binary(kept.near.index.astype("<i4", copy=False)),
            "similarity": _binary(kept.near.similarity.astype("<i2")),
        }
        table = pa.table(columns)
        part = self.store.write_part(NAME, table, recipe=_recipe(), covers=[collection])
        self.store.keep_parts(NAME, _recipe(), collection, [part])


def _recipe() -> str:
    return fingerprint([NAME, VERSION])


def _binary(values: np.ndarray) -> pa.Array:
    """Each row as bytes."""
    width = values.nbytes // max(1, len(values))
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, data])


def _values(rows: pa.Table, column: str, kind: str) -> np.ndarray:
    """All values that `_binary` was given."""
    stored = rows[column].combine_chunks()
    width = stored.type.byte_width
    start, stop = stored.offset * width, (stored.offset + len(stored)) * width
    return np.frombuffer(stored.buffers()[1], np.uint8)[start:stop].view(kind)
