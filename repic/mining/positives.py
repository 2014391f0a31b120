"""Pairs that show the same object: by label where there is one, otherwise mined.

The objects of a mined pair are in one mined group *and* agree on its other members: they share at
least `AGREEMENT` (Jaccard index) of their mutual k nearest neighbors within the group, where k is
the smaller of the group's size and the typical size. Groups of two have no third member, so there
is no such test.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from repic.mining.neighbors import Analysis
from repic.mining.pairs import (
    BANDS,
    EASY,
    HARD,
    MEDIUM,
    ObjectPairs,
    describe,
    first_rows,
    hashed,
    rank_within,
)
from repic.mining.segments import groups_by_size

BLOCK = 1 << 21
"""Number of pairs within groups that are looked at once."""

AGREEMENT = 0.6
"""Minimum share of common mutual neighbors. 0.5 to 0.65 trade recall for little precision."""

MOST_PARTNERS = 64
"""Maximum labelled partners of an object; a larger identity is sampled evenly."""

UNLIKE = 50.0
"""Percentile of similarity below which a labelled pair is doubtful: the median cross-photo pair."""


def all_positives(analysis: Analysis) -> ObjectPairs:
    """Every positive once, with anchor < other, sorted; bands are thirds by similarity.

    Labelled pairs of low similarity (`UNLIKE`) are doubtful: a wrong label or a wrong crop.
    """
    left, right = _labelled(analysis)
    mined_left, mined_right = _mined(analysis)
    anchor, other = np.concatenate([left, mined_left]), np.concatenate([right, mined_right])
    mined = np.arange(len(anchor)) >= len(left)
    order = np.lexsort((other, anchor))
    anchor, other, mined = anchor[order], other[order], mined[order]
    pairs = describe(analysis, anchor, other, mined, np.zeros(len(anchor)))
    if not len(pairs):
        return pairs
    low, high = np.quantile(pairs.similarity, [1 / 3, 2 / 3], method="lower")
    band = np.where(pairs.similarity < low, HARD, np.where(pairs.similarity < high, MEDIUM, EASY))
    return replace(
        pairs, band=band.astype(np.int8), doubtful=~pairs.mined & (pairs.percentile < UNLIKE)
    )


def choose(pairs: ObjectPairs, per_object: int, key: np.ndarray) -> ObjectPairs:
    """At most `per_object` pairs for each anchor that has any.

    Each pair can be used in both directions. An anchor keeps its least similar partner, then random
    partners from the bands in turn. So views differ as much as possible, and an additional photo
    changes few choices. Up to `per_object` doubtful pairs are kept in addition, for review.

    Args:
        pairs: Result of `all_positives`.
        key: uint64 (n,), a hash of each object's id, for random choices.
    """
    both = pairs.take(np.tile(np.arange(len(pairs)), 2))
    both = replace(
        both,
        anchor=np.concatenate([pairs.anchor, pairs.other]),
        other=np.concatenate([pairs.other, pairs.anchor]),
    )
    both = both.take(np.lexsort((both.other, both.similarity, both.anchor)))
    drawn = hashed(hashed(key[both.anchor]) ^ key[both.other])
    kept = np.zeros(len(both), dtype=bool)
    for usable in (~both.doubtful, both.doubtful):
        rows = np.flatnonzero(usable)
        kept[rows[_varied(both.take(rows), drawn[rows], per_object)]] = True
    return both.take(kept)


def _varied(pairs: ObjectPairs, drawn: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows of each anchor; rows are sorted by anchor and similarity."""
    drawn = np.where(rank_within(pairs.anchor) == 0, np.uint64(0), drawn)
    order = np.lexsort((drawn, -pairs.band, pairs.anchor))
    anchor, band = pairs.anchor[order], pairs.band[order]
    in_turn = np.lexsort((-band, rank_within(len(BANDS) * anchor - band), anchor))
    return order[in_turn[first_rows(anchor[in_turn], most)]]


def _labelled(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with the same known identity, smaller index first."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for members in groups_by_size(analysis.identity, BLOCK):
        size = members.shape[1]
        if size - 1 <= MOST_PARTNERS:
            a, b = np.triu_indices(size, 1)
        else:
            steps = np.linspace(1, size // 2, MOST_PARTNERS // 2).astype(np.int64)
            a = np.repeat(np.arange(size), len(steps))
            b = (a + np.tile(steps, size)) % size
        left.append(members[:, np.minimum(a, b)].ravel())
        right.append(members[:, np.maximum(a, b)].ravel())
    one, other = np.concatenate(left), np.concatenate(right)
    distinct = np.unique(one * len(analysis) + other)
    one, other = distinct // max(1, len(analysis)), distinct % max(1, len(analysis))
    apart = analysis.duplicate[one] != analysis.duplicate[other]
    return one[apart], other[apart]


def _mined(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Mined pairs of which at most one object is labelled, smaller index first."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    group = analysis.mined.group
    position = np.zeros(len(analysis), dtype=np.int64)  # in the group
    for members in groups_by_size(group, BLOCK):
        size = members.shape[1]
        position[members] = np.arange(size)
        near = analysis.peers[members, : min(size, analysis.mined.typical_size)]
        inside = (near >= 0) & (group[near] == group[members[:, :1, None]])
        agree = np.ones((len(members), size, size), dtype=bool)
        if size > 2:
            agree = _agreement(np.where(inside, position[near], -1)) >= AGREEMENT
        row, a, b = np.nonzero(np.triu(agree, 1))
        left.append(members[row, a])
        right.append(members[row, b])
    one, other = np.concatenate(left), np.concatenate(right)
    kept = analysis.duplicate[one] != analysis.duplicate[other]
    kept &= (analysis.identity[one] < 0) | (analysis.identity[other] < 0)
    return one[kept], other[kept]


def _agreement(near: np.ndarray) -> np.ndarray:
    """Jaccard index of the mutual neighborhoods of the members of groups, (groups, size, size).

    A neighborhood includes the member itself.

    Args:
        near: int (groups, size, k), nearest neighbors as positions in the group, -1 outside of it.
    """
    groups, size, _ = near.shape
    neighbors = np.zeros((groups, size, size + 1), dtype=bool)  # the last one is for -1
    neighbors[np.arange(groups)[:, None, None], np.arange(size)[:, None], near] = True
    neighbors = neighbors[:, :, :size]
    mutual = (neighbors & neighbors.swapaxes(1, 2)) | np.eye(size, dtype=bool)
    shared = (mutual.astype(np.float32) @ mutual.astype(np.float32)).astype(np.float64)
    degree = mutual.sum(2)
    return shared / (degree[:, :, None] + degree[:, None, :] - shared)
