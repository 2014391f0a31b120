"""ObjectPairs that show different objects, in three bands; hard ones are the point.

What keeps false negatives out:

- Two known identities that differ are different, whatever their similarity.
- Where mining found no groups nothing is known, so there are no mined negatives either.
- Else the two are in different groups, and outside of each other's *neighbourhood*: their two ranks
  in each other's list of nearest objects (in local scale) add up to more than `REACH` typical group
  sizes. A photo that mining failed to put into its group is still near that group, within a few
  ranks; what stands beyond is something else. The sum asks both objects, so that one in a crowded
  region (twenty dogs) does not hide that the other has nothing nearer.

Hard are the most similar that remain, medium and easy come from a random sample of everything else.
The sample is drawn on a ring: every object has a place there by its key, an anchor throws darts by
its own key, and a dart hits the next object on. A new object takes only the darts just before it,
so most pairs stay what they were when photos are added.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from repic.mining import clustering, similarity
from repic.mining.neighbors import NEIGHBORS, Analysis
from repic.mining.pairs import EASY, GOLDEN, HARD, MEDIUM, ObjectPairs, described, first_of, mixed

REACH = 6
"""Sum of the two ranks, in typical group sizes, up to which a pair may still be one object. Where
groups are so large that no neighbour would remain: the length of the list, or two group sizes."""

SAMPLE = 32
"""Others drawn per anchor, of which the upper quarter is medium and the lower half easy."""

POOL = 4
"""Hard candidates looked at per pair that is wanted: same label first among so many."""


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
    """Negatives of each anchor, both objects in one split, sorted by anchor.

    Doubtful are labelled pairs of which each object finds the other more alike than any photo of
    its own identity: perhaps one object with two names.

    Args:
        label: int (n,), category of each object.
        split: int (n,), -1 for objects to leave out.
        key: uint64 (n,), a hash of what each object is; draws the sample of medium and easy pairs.
        hard, medium, easy: Most pairs of an anchor in each band.
    """
    parts = [described(analysis, *(np.empty(0, np.int64),) * 2, np.empty(0, bool), np.empty(0))]
    for value in np.unique(split[split >= 0]).tolist():
        inside = np.flatnonzero(split == value)
        index = analysis.index if len(inside) == len(analysis) else _within(analysis, inside)
        typical = analysis.mined.typical_size
        near = _Neighborhood.of(index, min(REACH * typical, max(NEIGHBORS, 2 * typical)))
        parts.append(_hard(analysis, label, inside, near, hard))
        parts.append(_sampled(analysis, inside, near, key[inside], medium, easy))
    rows = _joined(parts)
    rows = rows.take(np.lexsort((-rows.band, rows.other, rows.anchor)))
    # In a small collection the even sample may meet a hard pair again: it stays hard.
    _, first = np.unique(rows.anchor * len(analysis) + rows.other, return_index=True)
    rows = rows.take(first)
    rows = rows.take(np.lexsort((rows.other, -rows.band, rows.anchor)))
    own = _best_of_own(analysis)
    alike = np.rint(rows.similarity * similarity.UNIT).astype(np.int64)
    closer = (alike > own[rows.anchor]) & (alike > own[rows.other])
    return replace(rows, doubtful=~rows.mined & closer)


class _Neighborhood:
    """Nearest objects of each, and which pairs are too near to be called different."""

    def __init__(self, index: np.ndarray, too_near: np.ndarray) -> None:
        self.index = index
        self._too_near = too_near

    @classmethod
    def of(cls, index: np.ndarray, reach: int) -> _Neighborhood:
        """Args: index (n, k) nearest, -1 for none; reach: largest sum of ranks that is too near.

        A rank that is not in a list counts as the first behind it, so long lists are only safer.
        """
        n, k = index.shape
        rows, columns = np.nonzero(index >= 0)
        keys = rows * n + index[rows, columns]
        order = np.argsort(keys)
        keys, rank = keys[order], columns[order] + 1
        mirror = (keys % n) * n + keys // n
        place = np.minimum(np.searchsorted(keys, mirror), max(0, len(keys) - 1))
        back = np.where(keys[place] == mirror, rank[place], k + 1)
        near = rank + back <= reach
        return cls(index, np.unique(np.concatenate([keys[near], mirror[near]])))

    def too_near(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Whether two objects may still be one, by their places in this neighbourhood."""
        if not len(self._too_near):
            return np.zeros(one.shape, dtype=bool)
        keys = one * len(self.index) + other
        place = np.minimum(np.searchsorted(self._too_near, keys), len(self._too_near) - 1)
        return self._too_near[place] == keys


def _within(analysis: Analysis, inside: np.ndarray) -> np.ndarray:
    """Nearest objects among a part of the collection, as places in `inside`."""
    near, _ = similarity.scan(
        analysis.grid[inside], analysis.photo[inside], analysis.duplicate[inside], NEIGHBORS
    )
    return clustering.local_scale(near)[0]


def _allowed(
    analysis: Analysis, inside: np.ndarray, near: _Neighborhood, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether pairs (places in `inside`) are negatives, and whether labels say so."""
    a, b = inside[one], inside[other]
    known = (analysis.identity[a] >= 0) & (analysis.identity[b] >= 0)
    good = (analysis.duplicate[a] != analysis.duplicate[b]) & (
        analysis.group[a] != analysis.group[b]
    )
    if analysis.mined.typical_size == 1:
        return good & known, known
    return good & (known | ~near.too_near(one, other)), known


def _hard(
    analysis: Analysis, label: np.ndarray, inside: np.ndarray, near: _Neighborhood, most: int
) -> ObjectPairs:
    n, k = near.index.shape
    one = np.repeat(np.arange(n), k)
    other = near.index.ravel().astype(np.int64)
    one, other = one[other >= 0], other[other >= 0]
    good, known = _allowed(analysis, inside, near, one, other)
    one, other, known = one[good], other[good], known[good]
    a, b = inside[one], inside[other]
    alike = similarity.of_pairs(analysis.grid, a, b)
    order = np.lexsort((b, -alike, a))
    pool = order[first_of(a[order], POOL * most)]
    order = pool[np.lexsort((b[pool], -alike[pool], label[a[pool]] != label[b[pool]], a[pool]))]
    kept = order[first_of(a[order], most)]
    return described(analysis, a[kept], b[kept], ~known[kept], np.full(len(kept), HARD))


def _sampled(
    analysis: Analysis,
    inside: np.ndarray,
    near: _Neighborhood,
    key: np.ndarray,
    medium: int,
    easy: int,
) -> ObjectPairs:
    n = len(inside)
    thrown = _darts(key, SAMPLE + 4 * medium + 2 * easy)
    # Stable, so that of several darts in one place the first one thrown counts.
    dart = np.argsort(thrown, axis=1, kind="stable")
    drawn = np.take_along_axis(thrown, dart, axis=1)
    fresh = np.diff(drawn, axis=1, prepend=-1) > 0
    one = np.broadcast_to(np.arange(n)[:, None], drawn.shape)[fresh]
    other, dart = drawn[fresh], dart[fresh]
    good, known = _allowed(analysis, inside, near, one, other)
    a, b, known, dart = inside[one[good]], inside[other[good]], known[good], dart[good]
    alike = similarity.of_pairs(analysis.grid, a, b)
    order = np.lexsort((b, -alike, a))
    a, b, known, dart = a[order], b[order], known[order], dart[order]
    _, start, count = np.unique(a, return_index=True, return_counts=True)
    place, total = np.arange(len(a)) - np.repeat(start, count), np.repeat(count, count)
    # The most similar of the sample may be as near as a hard one: medium starts below them.
    middle = (place >= total // 8) & (place < total // 2)
    far = place >= total // 2
    # By dart and not by similarity: one more photo then changes few choices, not one in ten.
    turn = np.lexsort((dart, a))
    mediums, easies = turn[middle[turn]], turn[far[turn]]
    chosen = np.concatenate(
        [mediums[first_of(a[mediums], medium)], easies[first_of(a[easies], easy)]]
    )
    band = np.where(middle[chosen], MEDIUM, EASY)
    return described(analysis, a[chosen], b[chosen], ~known[chosen], band)


def _darts(key: np.ndarray, each: int) -> np.ndarray:
    """Places that darts of each object hit on the ring of keys, int64 (n, each)."""
    ring = np.argsort(key, kind="stable")
    thrown = mixed(key[:, None] + np.arange(1, each + 1, dtype=np.uint64) * GOLDEN)
    return ring[np.searchsorted(key[ring], thrown) % max(1, len(key))]


def _best_of_own(analysis: Analysis) -> np.ndarray:
    """Highest similarity to another photo of the same known identity; none: above all others."""
    n = len(analysis)
    rows, columns = np.nonzero(analysis.index >= 0)
    other = analysis.index[rows, columns]
    own = (analysis.identity[rows] >= 0) & (analysis.identity[rows] == analysis.identity[other])
    best = np.full(n, -similarity.UNIT - 1)
    np.maximum.at(
        best, rows[own], similarity.of_pairs(analysis.grid, rows[own], other[own].astype(np.int64))
    )
    labelled = np.bincount(np.maximum(analysis.identity, 0)) if n else np.zeros(1)
    alone = (analysis.identity < 0) | (labelled[np.maximum(analysis.identity, 0)] < 2)
    best[alone] = similarity.UNIT
    return best


def _joined(parts: list[ObjectPairs]) -> ObjectPairs:
    return ObjectPairs(
        *(
            np.concatenate([getattr(p, name) for p in parts])
            for name in ObjectPairs.__dataclass_fields__
        )
    )
