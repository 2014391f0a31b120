"""All pairs of a version in the order of review, for pages of a few of them.

The order is that in which a look is worth most: doubtful pairs, then negatives from the most
similar on, then positives from the least similar on; equal ones by id. A page follows the key of
the last pair of the page before (keyset), so that it costs the same at any depth, and stays right
when the version changes in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from repic.studio.row_ids import Ints, RowIds, column_ids, encoded

Flags = NDArray[np.bool_]

KIND: tuple[str, ...] = ("positive", "negative")
CODED = {
    "kind": KIND,
    "band": ("easy", "medium", "hard"),
    "split": ("train", "validation", "test"),
    "origin": ("label", "mined"),
    "review": ("accept", "reject", "disputed"),
}
"""Columns of few values, in one byte each."""

FLOATS = ("similarity", "percentile", "margin")
ROUNDED = 10_000
"""Similarities have four decimals."""

GROUP = 100_000
"""Above every hardness within one of the three groups."""


@dataclass(frozen=True)
class PairFilter:
    """Which pairs; an empty text is any.

    Attributes:
        doubtful: yes, no, or any.
        low: Least similarity; `high` the largest.
        ends: Objects of which one must be in the pair, as flags by row; None: any.
    """

    kind: str = ""
    band: str = ""
    split: str = ""
    origin: str = ""
    doubtful: Literal["", "yes", "no"] = ""
    low: float | None = None
    high: float | None = None
    ends: Flags | None = None


@dataclass(frozen=True)
class PairPage:
    """Some pairs in order.

    Attributes:
        places: Their places in the index.
        total: Pairs that fit the filter, on all pages.
        before: Whether others come before them; `after` whether others come after.
    """

    places: list[int]
    total: int
    before: bool
    after: bool


class PairIndex:
    """The pairs of a version, by place in the order of review."""

    COLUMNS = ("pair_id", "anchor_id", "other_id", *CODED, *FLOATS, "same_label", "doubtful")

    def __init__(self, table: pa.Table, anchor: Ints, other: Ints) -> None:
        """Args: anchor, other: Rows of the objects of each pair, int64 (n,); -1: gone."""
        codes = {
            name: pc.fill_null(pc.index_in(table[name], pa.array(values, pa.string())), -1)
            .to_numpy(zero_copy_only=False)
            .astype(np.int8)
            for name, values in CODED.items()
        }
        floats = {n: table[n].to_numpy(zero_copy_only=False).astype(np.float32) for n in FLOATS}
        doubtful = table["doubtful"].to_numpy(zero_copy_only=False).astype(bool)
        ids = column_ids(table["pair_id"])
        key = _key(doubtful, codes["kind"] == 1, floats["similarity"])
        order = np.lexsort((ids, key))
        self._key, self._ids = key[order], RowIds(ids[order])
        self._codes = {name: values[order] for name, values in codes.items()}
        self._floats = {name: values[order] for name, values in floats.items()}
        self._doubtful = doubtful[order]
        self._same_label = table["same_label"].to_numpy(zero_copy_only=False).astype(bool)[order]
        self.anchor, self.other = (e[order].astype(np.int32) for e in (anchor, other))

    def __len__(self) -> int:
        return len(self._key)

    def places(self, pair_ids: Sequence[str]) -> Ints:
        """Places of pairs, int64 (n,); -1 for one that this version lacks."""
        return self._ids.rows(encoded(pair_ids))

    def place(self, pair_id: str) -> int | None:
        """The place of one pair; None if this version lacks it."""
        return self._ids.row(pair_id)

    def row(self, place: int) -> dict[str, Any]:
        """The columns of a pair, but for those of its objects."""
        row: dict[str, Any] = {"pair_id": self._ids.ids[place].decode()}
        for name, values in CODED.items():
            code = int(self._codes[name][place])
            row[name] = values[code] if code >= 0 else None
        row |= {name: float(values[place]) for name, values in self._floats.items()}
        row |= {
            "doubtful": bool(self._doubtful[place]),
            "same_label": bool(self._same_label[place]),
        }
        return row

    def cursor(self, place: int) -> str:
        """Where a page can begin or end: the key of a pair, as text."""
        return f"{self._key[place]}-{self._ids.ids[place].decode()}"

    def matching(self, wanted: PairFilter) -> Flags:
        """Pairs that fit a filter, bool (n,)."""
        fits = np.ones(len(self), dtype=bool)
        for name in ("kind", "band", "split", "origin"):
            if value := getattr(wanted, name):
                values = CODED[name]
                code = values.index(value) if value in values else len(values)
                fits &= self._codes[name] == code
        if wanted.doubtful:
            fits &= self._doubtful == (wanted.doubtful == "yes")
        similarity = self._floats["similarity"]
        if wanted.low is not None:
            fits &= similarity >= np.float32(wanted.low)
        if wanted.high is not None:
            fits &= similarity <= np.float32(wanted.high)
        if wanted.ends is not None:
            has = np.append(wanted.ends, False)  # the last is that of row -1
            fits &= has[self.anchor] | has[self.other]
        return fits

    def page(self, fits: Flags, size: int, after: str = "", before: str = "") -> PairPage:
        """At most `size` of the pairs that fit, after one cursor or before another."""
        start = self._begin(after, "right") if after else 0
        end = self._begin(before, "left") if before else len(self)
        found = start + np.flatnonzero(fits[start:end])
        chosen = found[-size:] if before else found[:size]
        first = int(chosen[0]) if len(chosen) else start
        last = int(chosen[-1]) + 1 if len(chosen) else end
        return PairPage(
            chosen.tolist(), int(fits.sum()), bool(fits[:first].any()), bool(fits[last:].any())
        )

    def _begin(self, cursor: str, side: Literal["left", "right"]) -> int:
        """The first place after a cursor (right), or from it on (left)."""
        text, _, pair_id = cursor.partition("-")
        key = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
        low = int(np.searchsorted(self._key, key, "left"))
        high = int(np.searchsorted(self._key, key, "right"))
        # Among pairs of one key the ids ascend.
        return low + int(np.searchsorted(self._ids.ids[low:high], pair_id.encode(), side))


def _key(doubtful: Flags, negative: Flags, similarity: NDArray[np.float32]) -> NDArray[np.int32]:
    """Doubtful first, then negatives, then positives; the hardest of each first: int32 (n,)."""
    signed = np.where(negative, -similarity, similarity)
    hardness = np.rint((1 + np.clip(np.nan_to_num(signed), -1, 1)) * ROUNDED).astype(np.int32)
    group = np.where(doubtful, 0, np.where(negative, 1, 2)).astype(np.int32)
    return group * GROUP + hardness
