"""Rows of a table by their ids: a sorted column of bytes, a fraction of a dict of a million."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
IdArray = NDArray[np.bytes_]


class RowIds:
    """The ids of a table, to find its rows by."""

    def __init__(self, ids: IdArray) -> None:
        self.ids = ids
        ascend = bool((ids[:-1] <= ids[1:]).all())  # tables are sorted by their key
        self.order = np.arange(len(ids)) if ascend else np.argsort(ids, kind="stable")

    def rows(self, ids: IdArray) -> Ints:
        """The row of each id, int64 (n,); -1 for an unknown one."""
        if not len(self.ids) or not len(ids):
            return np.full(len(ids), -1)
        at = np.searchsorted(self.ids, ids, sorter=self.order)
        found = self.order[np.minimum(at, len(self.ids) - 1)]
        return np.where(self.ids[found] == ids, found, -1).astype(np.int64)

    def row(self, id_: str) -> int | None:
        """The row of one id; None for an unknown one."""
        (found,) = self.rows(encoded([id_]))
        return None if found < 0 else int(found)


def rows_of(ids: pa.ChunkedArray, among: pa.ChunkedArray) -> Ints:
    """The row in `among` of each id of a column, int64 (n,); -1 for an unknown one."""
    found = pc.fill_null(pc.index_in(ids, among.combine_chunks()), -1)
    return found.to_numpy().astype(np.int64)


def encoded(ids: Sequence[str]) -> IdArray:
    """Ids as numpy bytes (n,).

    numpy drops zero bytes at the end, so that `id\\0` would be `id`: no id has a zero byte, and a
    question mark neither.
    """
    return np.array([i.encode("utf-8", "replace").replace(b"\0", b"?") for i in ids], dtype=bytes)


def column_ids(column: pa.ChunkedArray) -> IdArray:
    """A column of ids as numpy bytes (n,); without Python objects where all have one length."""
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if not lengths["max"] or lengths["min"] != lengths["max"] or column.null_count:
        return encoded(["" if i is None else i for i in column.to_pylist()])
    width = lengths["max"]
    binary = pa.concat_arrays([c.cast(pa.binary()).cast(pa.binary(width)) for c in column.chunks])
    data = np.frombuffer(binary.buffers()[1], dtype=f"S{width}")
    return data[binary.offset : binary.offset + len(binary)]
