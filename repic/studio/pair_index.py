"""All pairs of a version in the order of review, for pages of a few of them.

The order is that in which a look is worth most: doubtful pairs, then negatives from the most
similar on, then positives from the least similar on; equal ones by id. A page follows the key of
the last pair of the page before (keyset), so that it costs the same at any depth, and stays right
when the version changes in between.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache, cachedmethod
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

BLOCK = 1 << 16
"""Pairs that are looked at at once."""

FILTERS = 16
"""Filters whose pairs are kept, a byte per pair each."""

GROUP = 100_000
"""Above every hardness within one of the three groups."""


@dataclass(frozen=True)
class PairFilter:
    """Which pairs; an empty text is any.

    Attributes:
        doubtful: yes, no, or any.
        low: Least similarity; `high` the largest.
        ends: Rows of objects of which one must be in the pair; None: any.
    """

    kind: str = ""
    band: str = ""
    split: str = ""
    origin: str = ""
    doubtful: Literal["", "yes", "no"] = ""
    low: float | None = None
    high: float | None = None
    ends: tuple[int, ...] | None = None


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
        self._ids = RowIds(column_ids(table["pair_id"]))
        by_id = self._ids.order
        key = _key(doubtful, codes["kind"] == 1, floats["similarity"])
        # Rows in the order of their ids, then stably by key.
        order = by_id[np.argsort(key[by_id], kind="stable")]
        self._key, self._order = key[order], order
        self._place = np.empty(len(order), dtype=np.int64)
        self._place[order] = np.arange(len(order))
        self._matching: LRUCache[PairFilter, Flags] = LRUCache(FILTERS)
        self._lock = Lock()
        self._codes = {name: values[order] for name, values in codes.items()}
        self._floats = {name: values[order] for name, values in floats.items()}
        self._doubtful = doubtful[order]
        self._same_label = table["same_label"].to_numpy(zero_copy_only=False).astype(bool)[order]
        self.anchor, self.other = (e[order].astype(np.int32) for e in (anchor, other))
        self.mirror = _mirrors(anchor[order], other[order])
        """Place of the pair of the same objects in the other order, int64 (n,); -1: none."""
        self._repeats = np.flatnonzero(self.mirror < np.arange(len(order)))
        self._repeats = self._repeats[self.mirror[self._repeats] >= 0]

    def __len__(self) -> int:
        return len(self._key)

    def places(self, pair_ids: Sequence[str]) -> Ints:
        """Places of pairs, int64 (n,); -1 for one that this version lacks."""
        rows = self._ids.rows(encoded(pair_ids))
        return np.where(rows >= 0, self._place[rows], -1) if len(self) else rows

    def place(self, pair_id: str) -> int | None:
        """The place of one pair; None if this version lacks it."""
        row = self._ids.row(pair_id)
        return None if row is None else int(self._place[row])

    def row(self, place: int) -> dict[str, Any]:
        """The columns of a pair, but for those of its objects."""
        row: dict[str, Any] = {"pair_id": self.pair_id(place)}
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
        return f"{self._key[place]}-{self.pair_id(place)}"

    def pair_id(self, place: int) -> str:
        """Id of the pair at a place."""
        return self._ids.ids[self._order[place]].decode()

    @cachedmethod(
        lambda self: self._matching, lambda _, wanted: wanted, lock=lambda self: self._lock
    )
    def matching(self, wanted: PairFilter) -> Flags:
        """Pairs that fit a filter, bool (n,), which must not be changed; kept for a while.

        Of two pairs of the same objects that fit, only the first.
        """
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
            at = wanted.ends
            fits &= np.isin(self.anchor, at) | np.isin(self.other, at)
        # Two objects are asked about once.
        fits[self._repeats] &= ~fits[self.mirror[self._repeats]]
        fits.setflags(write=False)
        return fits

    def page(self, fits: Flags, size: int, after: str = "", before: str = "") -> PairPage:
        """At most `size` of the pairs that fit, after one cursor or before another."""
        start = self._begin(after, "right") if after else 0
        end = self._begin(before, "left") if before else len(self)
        chosen = _last(fits, start, end, size) if before else _first(fits, start, end, size)
        first = chosen[0] if chosen else start
        last = chosen[-1] + 1 if chosen else end
        total = int(np.count_nonzero(fits))
        return PairPage(chosen, total, bool(fits[:first].any()), bool(fits[last:].any()))

    def _begin(self, cursor: str, side: Literal["left", "right"]) -> int:
        """The first place after a cursor (right), or from it on (left)."""
        text, _, pair_id = cursor.partition("-")
        key = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
        low = int(np.searchsorted(self._key, key, "left"))
        high = int(np.searchsorted(self._key, key, "right"))
        # Among pairs of one key the ids ascend.
        cut = bisect_left if side == "left" else bisect_right
        return cut(range(low, high), pair_id, key=self.pair_id) + low


def _mirrors(anchor: Ints, other: Ints) -> Ints:
    """The place of the pair (other, anchor) of each pair, int64 (n,); -1 without one."""
    if not len(anchor):
        return np.empty(0, np.int64)
    count = int(max(anchor.max(), other.max())) + 1
    own, mirrored = anchor * count + other, other * count + anchor
    order = np.argsort(own, kind="stable")
    found = order[np.minimum(np.searchsorted(own, mirrored, sorter=order), len(own) - 1)]
    is_it = (own[found] == mirrored) & (anchor >= 0) & (other >= 0)
    return np.where(is_it, found, -1)


def _first(fits: Flags, start: int, end: int, size: int) -> list[int]:
    """The first places from `start` on that fit."""
    found: list[int] = []
    while start < end and len(found) < size:
        block = fits[start : min(end, start + BLOCK)]
        found += (start + np.flatnonzero(block)[: size - len(found)]).tolist()
        start += BLOCK
    return found


def _last(fits: Flags, start: int, end: int, size: int) -> list[int]:
    """The last places before `end` that fit."""
    found: list[int] = []
    while start < end and len(found) < size:
        at = max(start, end - BLOCK)
        more = at + np.flatnonzero(fits[at:end])
        found = more[max(0, len(more) - size + len(found)) :].tolist() + found
        end = at
    return found


def _key(doubtful: Flags, negative: Flags, similarity: NDArray[np.float32]) -> NDArray[np.int32]:
    """Doubtful first, then negatives, then positives; the hardest of each first: int32 (n,)."""
    signed = np.where(negative, -similarity, similarity)
    hardness = np.rint((1 + np.clip(np.nan_to_num(signed), -1, 1)) * ROUNDED).astype(np.int32)
    group = np.where(doubtful, 0, np.where(negative, 1, 2)).astype(np.int32)
    return group * GROUP + hardness
