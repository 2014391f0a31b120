"""Pairs that show different objects, in three bands of difficulty.

False negatives are avoided as follows:

- Objects with different known identities are different, whatever their similarity.
- If mining found no groups, there are no mined negatives.
- Otherwise the objects must be in different groups and outside of each other's *neighborhood*: the
  sum of their ranks in each other's list of nearest objects (by local scale) is above `REACH`
  typical group sizes. A photo that mining failed to assign to its group is still within a few ranks
  of it. Both ranks count, since one object may be in a crowded region (twenty dogs) while the other
  has no nearer object.

Hard negatives are the most similar of the remaining pairs. Medium and easy negatives come from a
random sample of all other objects, drawn by consistent hashing: each object has a position on a
ring by its key, each draw of an anchor is a position by the anchor's key, and it selects the next
object on the ring. A new object takes over only the draws directly before it, so most pairs stay
when photos are added.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from repic.mining import clustering, similarity
from repic.mining.labelled import OTHERS
from repic.mining.neighbors import NEIGHBORS, Analysis
from repic.mining.pairs import (
    EASY,
    GOLDEN,
    HARD,
    MEDIUM,
    ObjectPairs,
    describe,
    first_rows,
    hashed,
    joined,
)
from repic.mining.similarity import Neighbors

REACH = 6
"""Sum of the two ranks, in typical group sizes, up to which a pair may still show one object. If
groups are so large that no neighbor would remain: the length of the list, or two group sizes."""

SAMPLE = 32
"""Objects drawn per anchor; by similarity, the most similar eighth is skipped, then medium up to
the middle, easy below it."""

POOL = 4
"""Hard candidates per requested pair; among these, those with the same label come first."""

COMPARED = 1 << 22
"""Neighbors of neighbors that are looked at at once."""

ROWS = 1 << 14
"""Objects whose lists and draws are looked at at once."""


def negatives(
    analysis: Analysis,
    label: np.ndarray,
    split: np.ndarray,
    key: np.ndarray,
    *,
    hard: int,
    medium: int,
    easy: int,
) -> ObjectPairs:
    """Negatives of each anchor, with both objects in one split, sorted by anchor.

    A labelled pair is doubtful if each object is more similar to the other than to any other photo
    of its own identity: it may be one object with two names.

    Args:
        label: int (n,), category of each object.
        split: int (n,), -1 for objects to exclude.
        key: uint64 (n,), a hash of each object's id, which draws the medium and easy pairs.
        hard, medium, easy: Maximum pairs per anchor in each band.
    """
    parts = [describe(analysis, *(np.empty(0, np.int64),) * 2, np.empty(0, bool), np.empty(0))]
    for value in np.unique(split[split >= 0]).tolist():
        inside = np.flatnonzero(split == value)
        nearest, near = _within(analysis, inside, f"split{value}", POOL * hard)
        parts.append(_hard(analysis, label, inside, nearest, near, hard))
        del nearest
        if medium or easy:
            parts.append(_sampled(analysis, inside, near, key[inside], medium, easy))
    rows = joined(parts)
    rows = rows.take(np.lexsort((-rows.band, rows.other, rows.anchor)))
    # In a small collection the random sample may repeat a hard pair, which stays hard.
    _, first = np.unique(rows.anchor * len(analysis) + rows.other, return_index=True)
    rows = rows.take(first)
    rows = rows.take(np.lexsort((rows.other, -rows.band, rows.anchor)))
    own = _best_of_own(analysis)
    alike = np.rint(rows.similarity * similarity.UNIT).astype(np.int64)
    closer = (alike > own[rows.anchor]) & (alike > own[rows.other])
    return replace(rows, doubtful=~rows.mined & closer)


class _Neighborhood:
    """The pairs of n objects that are too near to count as different."""

    def __init__(self, n: int, too_near: np.ndarray) -> None:
        self._n = n
        self._too_near = too_near

    @classmethod
    def of(cls, index: np.ndarray, reach: int) -> _Neighborhood:
        """The neighborhood in which a sum of ranks up to `reach` is too near.

        An object that is not in a list counts as the first one after it, so longer lists exclude
        more pairs.

        Args:
            index: (n, k), nearest objects, -1 for none.
        """
        index = index[:, : max(0, reach - 1)]  # a larger rank makes the sum larger than `reach`
        n, k = index.shape
        found = [np.empty(0, np.int64)]
        step = max(1, COMPARED // max(1, k * k))
        for start in range(0, n, step):
            theirs = index[start : start + step]
            own = np.arange(start, start + len(theirs))
            is_own = index[theirs] == own[:, None, None]
            back = np.where(is_own.any(2), is_own.argmax(2) + 1, k + 1) if k else theirs
            row, column = np.nonzero((theirs >= 0) & (np.arange(1, k + 1) + back <= reach))
            found.append(_keys(own[row], theirs[row, column], n))
        return cls(n, np.unique(np.concatenate(found)))

    def too_near(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Whether two objects may still be the same, by their indices in this neighborhood."""
        if not len(self._too_near):
            return np.zeros(one.shape, dtype=bool)
        keys = _keys(one, other, self._n)
        slot = np.minimum(np.searchsorted(self._too_near, keys), len(self._too_near) - 1)
        return self._too_near[slot] == keys


def _keys(one: np.ndarray, other: np.ndarray, n: int) -> np.ndarray:
    """A number for each pair of n objects, in either direction, int64."""
    return np.minimum(one, other).astype(np.int64) * n + np.maximum(one, other)


def _within(
    analysis: Analysis, inside: np.ndarray, collection: str, most: int
) -> tuple[Neighbors, _Neighborhood]:
    """Nearest objects within a part of the collection, as indices into `inside`.

    By similarity, and the pairs that are too near by local scale, which decide nothing where labels
    do.

    Args:
        most: Objects of other identities that are needed, if all are labelled.
    """
    known, short = bool((analysis.identity >= 0).all()), most <= OTHERS
    near, search = analysis.near, analysis.search
    if len(inside) != len(analysis) or (known and not short):
        grid, duplicate = analysis.grid[inside], analysis.duplicate[inside]
        if known and short:
            near = search.enough(grid, duplicate, analysis.identity[inside], collection, inside)
        else:
            near = search.nearest(grid, duplicate, NEIGHBORS, collection, inside)
    typical = analysis.mined.typical_size
    index = near.index if known else clustering.local_scale(near)[0]
    return near, _Neighborhood.of(index, min(REACH * typical, max(NEIGHBORS, 2 * typical)))


def _allowed(
    analysis: Analysis, inside: np.ndarray, near: _Neighborhood, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether pairs (indices into `inside`) are negatives, and whether labels decide it."""
    a, b = inside[one], inside[other]
    labelled = (analysis.identity[a] >= 0) & (analysis.identity[b] >= 0)
    good = (analysis.duplicate[a] != analysis.duplicate[b]) & (
        analysis.group[a] != analysis.group[b]
    )
    if analysis.mined.typical_size == 1:
        return good & labelled, labelled
    return good & (labelled | ~near.too_near(one, other)), labelled


def _hard(
    analysis: Analysis,
    label: np.ndarray,
    inside: np.ndarray,
    nearest: Neighbors,
    near: _Neighborhood,
    most: int,
) -> ObjectPairs:
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool))]
    for start in range(0, len(inside), ROWS):
        index = nearest.index[start : start + ROWS]
        one, column = np.nonzero(index >= 0)  # by object, most similar first
        one, other = one + start, index[one, column].astype(np.int64)
        good, labelled = _allowed(analysis, inside, near, one, other)
        pool = np.flatnonzero(good)
        pool = pool[first_rows(one[pool], POOL * most)]
        parts.append((inside[one[pool]], inside[other[pool]], labelled[pool]))
    a, b, labelled = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((np.arange(len(a)), label[a] != label[b], a))
    kept = order[first_rows(a[order], most)]
    return describe(analysis, a[kept], b[kept], ~labelled[kept], np.full(len(kept), HARD))


def _sampled(
    analysis: Analysis,
    inside: np.ndarray,
    near: _Neighborhood,
    key: np.ndarray,
    medium: int,
    easy: int,
) -> ObjectPairs:
    ring = np.argsort(key, kind="stable")
    return joined(
        [
            _sampled_rows(analysis, inside, near, key, ring, rows, medium, easy)
            for rows in np.split(np.arange(len(inside)), range(ROWS, len(inside), ROWS))
        ]
    )


def _sampled_rows(
    analysis: Analysis,
    inside: np.ndarray,
    near: _Neighborhood,
    key: np.ndarray,
    ring: np.ndarray,
    rows: np.ndarray,
    medium: int,
    easy: int,
) -> ObjectPairs:
    objects = _draws(key, ring, rows, SAMPLE + 4 * medium + 2 * easy)
    # Stable, so that the first of several draws of one object counts.
    draw = np.argsort(objects, axis=1, kind="stable")
    drawn = np.take_along_axis(objects, draw, axis=1)
    fresh = np.diff(drawn, axis=1, prepend=-1) > 0
    one = np.broadcast_to(rows[:, None], drawn.shape)[fresh]
    other, draw = drawn[fresh], draw[fresh]
    good, labelled = _allowed(analysis, inside, near, one, other)
    a, b, labelled, draw = inside[one[good]], inside[other[good]], labelled[good], draw[good]
    alike = similarity.of_pairs(analysis.grid, a, b)
    order = np.lexsort((b, -alike, a))
    a, b, labelled, draw = a[order], b[order], labelled[order], draw[order]
    _, start, count = np.unique(a, return_index=True, return_counts=True)
    rank, total = np.arange(len(a)) - np.repeat(start, count), np.repeat(count, count)
    # The most similar eighth of the sample may be as near as hard pairs: medium starts below it.
    middle = (rank >= total // 8) & (rank < total // 2)
    far = rank >= total // 2
    # In order of draws, not of similarity: an additional photo then changes few choices.
    turn = np.lexsort((draw, a))
    mediums, easies = turn[middle[turn]], turn[far[turn]]
    chosen = np.concatenate(
        [mediums[first_rows(a[mediums], medium)], easies[first_rows(a[easies], easy)]]
    )
    band = np.where(middle[chosen], MEDIUM, EASY)
    return describe(analysis, a[chosen], b[chosen], ~labelled[chosen], band)


def _draws(key: np.ndarray, ring: np.ndarray, rows: np.ndarray, each: int) -> np.ndarray:
    """Objects that some objects draw from the ring of keys, int64 (rows, each)."""
    positions = hashed(key[rows, None] + np.arange(1, each + 1, dtype=np.uint64) * GOLDEN)
    return ring[np.searchsorted(key[ring], positions) % max(1, len(key))]


def _best_of_own(analysis: Analysis) -> np.ndarray:
    """Highest similarity to another photo of the same known identity; `UNIT` if there is none."""
    n, near = len(analysis), analysis.near
    best = np.empty(n, dtype=np.int32)
    for start in range(0, n, ROWS):
        part = slice(start, start + ROWS)
        index, identity = near.index[part], analysis.identity[part, None]
        own = (index >= 0) & (identity >= 0) & (identity == analysis.identity[index])
        none = -similarity.UNIT - 1
        best[part] = np.where(own, near.similarity[part], none).max(1, initial=none)
    labelled = np.bincount(np.maximum(analysis.identity, 0)) if n else np.zeros(1)
    alone = (analysis.identity < 0) | (labelled[np.maximum(analysis.identity, 0)] < 2)
    best[alone] = similarity.UNIT
    return best
