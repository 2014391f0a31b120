"""Links between objects, and between clusters of them: segments of arrays."""

from __future__ import annotations

import numpy as np

from repic.mining.segments import ranges

ROWS = 1 << 15
"""Number of objects whose neighbors are looked at once."""

WEIGHT_BITS = 18
MOST_WEIGHT = (1 << WEIGHT_BITS) - 1
"""Bits of the scale between two objects above that of another pair, and its maximum. Each is a
difference of sums of two similarities, at most 40,000. So up to 5,900,000 objects have numbers for
their pairs that are below 2^63 with the scale."""

SPARE = 0.75
"""Free room behind the links, as a share of them, so that segments are seldom moved."""


class Links:
    """For each cluster, what links it to others. The links of a cluster are consecutive.

    Attributes:
        other: int32, an object of the linked cluster.
        weight: int32, sum of the scales of the mutual neighbors; 0 if there are none.
        apart: int32, number of pairs of objects in different photos that are near-duplicates.
        count: int64 (n,), number of links of each cluster; clusters are named by an object.
    """

    def __init__(self, n: int, one: np.ndarray, other: np.ndarray, *values: np.ndarray) -> None:
        """Links of n objects from `one` to `other`, sorted by `one`; `values` as above."""
        self.count = np.bincount(one, minlength=n)
        self._start = np.cumsum(self.count) - self.count
        self._used = len(one)
        self.other, self.weight, self.apart = (_with_room(v, 0) for v in (other, *values))

    def of(self, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All links of these clusters: index into `names`, and position of the link."""
        return ranges(self._start[names], self.count[names])

    def replace(
        self,
        names: np.ndarray,
        count: np.ndarray,
        other: np.ndarray,
        weight: np.ndarray,
        apart: np.ndarray,
    ) -> None:
        """Put other links, at most as many, in place of those of these clusters."""
        self.count[names] = count
        _, entry = self.of(names)
        self.other[entry], self.weight[entry], self.apart[entry] = other, weight, apart

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        """Give the links of `right` to `left`; several may then lead to the same cluster."""
        count = self.count[left] + self.count[right]
        if self._used + int(count.sum()) > len(self.other):
            self._make_room(int(count.sum()))
        pairs = np.stack([left, right], 1).ravel()
        _, entry = self.of(pairs)
        target = slice(self._used, self._used + len(entry))
        for values in (self.other, self.weight, self.apart):
            values[target] = values[entry]
        self._start[left] = self._used + np.cumsum(count) - count
        self.count[left], self.count[right] = count, 0
        self._used += len(entry)

    def _make_room(self, more: int) -> None:
        """Drop links that were replaced, and leave room for `more`."""
        _, entry = self.of(np.arange(len(self.count)))
        self.other, self.weight, self.apart = (
            _with_room(values[entry], more) for values in (self.other, self.weight, self.apart)
        )
        self._start = np.cumsum(self.count) - self.count
        self._used = len(entry)


def links_between(
    index: np.ndarray, scale: np.ndarray, photo: np.ndarray, duplicate: np.ndarray
) -> Links:
    """Links between n objects: mutual neighbors, and objects in near-duplicate photos.

    Args:
        index, scale: (n, k), neighbors, -1 where there is none, and their scale, which is
            symmetric. Neighbors are no near-duplicates.
        photo, duplicate: int (n,), each object's photo and that photo's near-duplicate group.
    """
    n = len(index)
    pair, weight = _mutual_neighbors(index, scale)
    one, two = _near_duplicates(photo, duplicate)
    links = np.empty(2 * len(pair) + len(one), dtype=np.int64)
    links[: len(pair)] = (pair << WEIGHT_BITS) | weight
    links[len(pair) : 2 * len(pair)] = ((pair % n * n + pair // n) << WEIGHT_BITS) | weight
    links[2 * len(pair) :] = (one * n + two) << WEIGHT_BITS
    del pair, weight, one, two
    links.sort()
    scales = (links & MOST_WEIGHT).astype(np.int32)
    links >>= WEIGHT_BITS
    others = (links % n).astype(np.int32)
    links //= n
    return Links(n, links, others, scales, scales == 0)


def _mutual_neighbors(index: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of mutual neighbors, and their scale above that of the typical last neighbor.

    A pair (a, b) with a < b is the number a n + b. Each direction of it is one integer of this
    number and the scale; sorting them brings both directions together.
    """
    n, _ = index.shape
    last = (index >= 0).sum(1) - 1
    linked = np.flatnonzero(last >= 0)
    floor = int(np.median(scale[linked, last[linked]])) if len(linked) else 0
    near = (index >= 0) & (scale > floor)
    keys = np.empty(np.count_nonzero(near), dtype=np.int64)
    filled = 0
    for start in range(0, n, ROWS):
        part = slice(start, start + ROWS)
        row, _ = np.nonzero(near[part])
        one, other = row + start, index[part][near[part]].astype(np.int64)
        weight = scale[part][near[part]].astype(np.int64) - floor
        pair = np.minimum(one, other) * n + np.maximum(one, other)
        keys[filled : filled + len(row)] = (pair << WEIGHT_BITS) | weight
        filled += len(row)
    keys.sort()
    keys = keys[:-1][keys[1:] == keys[:-1]]
    return keys >> WEIGHT_BITS, keys & MOST_WEIGHT


def _near_duplicates(photo: np.ndarray, duplicate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ordered pairs of objects in different photos that are near-duplicates."""
    order = np.lexsort((photo, duplicate))
    group = duplicate[order]
    start, end = np.searchsorted(group, group), np.searchsorted(group, group, side="right")
    several = np.flatnonzero(photo[order[start]] != photo[order[end - 1]])
    row, at = ranges(start[several], (end - start)[several])
    one, other = order[several[row]], order[at]
    apart = photo[one] != photo[other]
    return one[apart], other[apart]


def _with_room(values: np.ndarray, more: int) -> np.ndarray:
    room = np.empty(int((1 + SPARE) * len(values)) + more, dtype=np.int32)
    room[: len(values)] = values
    return room
