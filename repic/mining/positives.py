"""ObjectPairs that show the same object: by label where there is one, else mined.

A mined pair lies in one mined group *and* the two objects agree on who else is in it: with k the
size of the group, but not above the typical size of the collection, they share at least `AGREEMENT`
of their mutual k nearest within the group (Jaccard, over all triples with a third member). In a
group of two there is no third to ask.
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
    described,
    first_of,
    mixed,
    turn_of,
)

AGREEMENT = 0.6
"""Least share of mutual neighbours in common. 0.5 to 0.65 trade recall for little precision."""

MOST_PARTNERS = 64
"""Labelled partners that an object is compared with; a larger identity is sampled evenly."""

UNLIKE = 50.0
"""Percentile: a labelled pair that is less alike than the usual cross-photo pair is doubtful."""


def all_positives(analysis: Analysis) -> ObjectPairs:
    """Every positive once, anchor < other, in order; bands are thirds by similarity.

    Doubtful are labelled pairs of low similarity (`UNLIKE`): a wrong label, or a wrong crop.
    """
    left, right = _labelled(analysis)
    mined_left, mined_right = _mined(analysis)
    anchor, other = np.concatenate([left, mined_left]), np.concatenate([right, mined_right])
    mined = np.arange(len(anchor)) >= len(left)
    order = np.lexsort((other, anchor))
    anchor, other, mined = anchor[order], other[order], mined[order]
    pairs = described(analysis, anchor, other, mined, np.zeros(len(anchor)))
    if not len(pairs):
        return pairs
    low, high = np.quantile(pairs.similarity, [1 / 3, 2 / 3], method="lower")
    band = np.where(pairs.similarity < low, HARD, np.where(pairs.similarity < high, MEDIUM, EASY))
    return replace(
        pairs, band=band.astype(np.int8), doubtful=~pairs.mined & (pairs.percentile < UNLIKE)
    )


def choose(pairs: ObjectPairs, per_object: int, key: np.ndarray) -> ObjectPairs:
    """At most `per_object` pairs of each anchor, of every anchor that has any.

    Each pair can serve either way round. An anchor keeps its least alike partner and then others by
    chance, from the bands in turn, so that views differ as much as the collection lets them, and
    one more photo changes few of the choices. As many doubtful pairs are kept beside them, for a
    person to look at.

    Args:
        pairs: What `all_positives` returns.
        key: uint64 (n,), a hash of what each object is; draws the others.
    """
    both = pairs.take(np.tile(np.arange(len(pairs)), 2))
    both = replace(
        both,
        anchor=np.concatenate([pairs.anchor, pairs.other]),
        other=np.concatenate([pairs.other, pairs.anchor]),
    )
    both = both.take(np.lexsort((both.other, both.similarity, both.anchor)))
    drawn = mixed(mixed(key[both.anchor]) ^ key[both.other])
    kept = np.zeros(len(both), dtype=bool)
    for usable in (~both.doubtful, both.doubtful):
        rows = np.flatnonzero(usable)
        kept[rows[_varied(both.take(rows), drawn[rows], per_object)]] = True
    return both.take(kept)


def _varied(pairs: ObjectPairs, drawn: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows of each anchor; they come sorted by anchor and similarity."""
    drawn = np.where(turn_of(pairs.anchor) == 0, np.uint64(0), drawn)
    order = np.lexsort((drawn, -pairs.band, pairs.anchor))
    anchor, band = pairs.anchor[order], pairs.band[order]
    in_turn = np.lexsort((-band, turn_of(len(BANDS) * anchor - band), anchor))
    return order[in_turn[first_of(anchor[in_turn], most)]]


def _labelled(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """ObjectPairs of one known identity, smaller index first."""
    known = np.flatnonzero(analysis.identity >= 0)
    order = known[np.argsort(analysis.identity[known], kind="stable")]
    _, start, count = np.unique(analysis.identity[order], return_index=True, return_counts=True)
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, size in zip(start.tolist(), count.tolist(), strict=True):
        members = order[first : first + size]
        if size - 1 <= MOST_PARTNERS:
            a, b = np.triu_indices(size, 1)
        else:
            steps = np.linspace(1, size // 2, MOST_PARTNERS // 2).astype(np.int64)
            a = np.repeat(np.arange(size), len(steps))
            b = (a + np.tile(steps, size)) % size
        left.append(members[np.minimum(a, b)])
        right.append(members[np.maximum(a, b)])
    one, other = np.concatenate(left), np.concatenate(right)
    distinct = np.unique(one * len(analysis) + other)
    one, other = distinct // max(1, len(analysis)), distinct % max(1, len(analysis))
    apart = analysis.duplicate[one] != analysis.duplicate[other]
    return one[apart], other[apart]


def _mined(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """ObjectPairs that mining finds and of which not both are labelled, smaller index first."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    order = np.argsort(analysis.mined.group, kind="stable")
    _, start, count = np.unique(analysis.mined.group[order], return_index=True, return_counts=True)
    place = np.full(len(analysis) + 1, -1)
    for first, size in zip(start.tolist(), count.tolist(), strict=True):
        if size == 1:
            continue
        members = order[first : first + size]
        k = min(size, analysis.mined.typical_size)
        place[members] = np.arange(size)
        # -1 of a missing neighbour reads the last entry of `place`, which stays -1.
        near = place[analysis.peers[members, :k]]
        place[members] = -1
        agree = _agreement(near, size) >= AGREEMENT if size > 2 else np.ones((2, 2), dtype=bool)
        a, b = np.nonzero(np.triu(agree, 1))
        left.append(members[a])
        right.append(members[b])
    one, other = np.concatenate(left), np.concatenate(right)
    kept = analysis.duplicate[one] != analysis.duplicate[other]
    kept &= (analysis.identity[one] < 0) | (analysis.identity[other] < 0)
    return one[kept], other[kept]


def _agreement(near: np.ndarray, size: int) -> np.ndarray:
    """Jaccard index of the mutual neighbourhoods of a group's members, themselves included.

    Args:
        near: int (size, k), nearest neighbours as places in the group, -1 outside of it.
    """
    knows = np.zeros((size, size + 1), dtype=bool)
    knows[np.arange(size)[:, None], near] = True
    mutual = (knows[:, :size] & knows[:, :size].T) | np.eye(size, dtype=bool)
    shared = mutual.astype(np.int64) @ mutual.T.astype(np.int64)
    degree = mutual.sum(1)
    return shared / (degree[:, None] + degree[None, :] - shared)
