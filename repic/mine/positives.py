"""Pairs that show the same object: by label where there is one, else mined.

A mined pair lies in one mined group *and* the two objects agree on who else is in it: with k the
size of the group, but not above the typical size of the collection, they share at least `AGREEMENT`
of their mutual k nearest within the group (Jaccard, over all triples with a third member). In a
group of two there is no third to ask.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from repic.mine.pairs import EASY, HARD, MEDIUM, Pairs, described
from repic.mine.survey import Survey

AGREEMENT = 0.6
"""Least share of mutual neighbours in common. 0.5 to 0.65 trade recall for little precision."""

MOST_PARTNERS = 64
"""Labelled partners that an object is compared with; a larger identity is sampled evenly."""

UNLIKE = 50.0
"""Percentile: a labelled pair that is less alike than the usual cross-photo pair is doubtful."""


def all_positives(survey: Survey) -> Pairs:
    """Every positive once, anchor < other, in order; bands are thirds by similarity.

    Doubtful are labelled pairs of low similarity (`UNLIKE`): a wrong label, or a wrong crop.
    """
    left, right = _labelled(survey)
    mined_left, mined_right = _mined(survey)
    anchor, other = np.concatenate([left, mined_left]), np.concatenate([right, mined_right])
    mined = np.arange(len(anchor)) >= len(left)
    order = np.lexsort((other, anchor))
    anchor, other, mined = anchor[order], other[order], mined[order]
    pairs = described(survey, anchor, other, mined, np.zeros(len(anchor)))
    if not len(pairs):
        return pairs
    low, high = np.quantile(pairs.similarity, [1 / 3, 2 / 3], method="lower")
    band = np.where(pairs.similarity < low, HARD, np.where(pairs.similarity < high, MEDIUM, EASY))
    return replace(
        pairs, band=band.astype(np.int8), doubtful=~pairs.mined & (pairs.percentile < UNLIKE)
    )


def choose(pairs: Pairs, per_object: int) -> Pairs:
    """At most `per_object` pairs of each anchor, of every anchor that has any.

    Each pair can serve either way round. An anchor's partners are taken at even steps from the
    least to the most alike, so that views differ as much as the collection lets them. As many
    doubtful pairs are kept beside them, for a person to look at.
    """
    both = pairs.take(np.tile(np.arange(len(pairs)), 2))
    both = replace(
        both,
        anchor=np.concatenate([pairs.anchor, pairs.other]),
        other=np.concatenate([pairs.other, pairs.anchor]),
    )
    both = both.take(np.lexsort((both.other, both.similarity, both.anchor)))
    kept = _spread(both.anchor, ~both.doubtful, per_object)
    return both.take(kept | _spread(both.anchor, both.doubtful, per_object))


def _spread(anchor: np.ndarray, usable: np.ndarray, most: int) -> np.ndarray:
    """Mask of at most `most` usable rows per anchor, at even steps; anchors are sorted."""
    kept = np.zeros(len(anchor), dtype=bool)
    rows = np.flatnonzero(usable)
    if not len(rows):
        return kept
    _, start, count = np.unique(anchor[rows], return_index=True, return_counts=True)
    place = np.arange(len(rows)) - np.repeat(start, count)
    total = np.repeat(count, count)
    wanted = np.minimum(total, most)
    # Row p of c is kept when the step function floor(p * w / c) rises there: w of c, evenly.
    kept[rows] = (place * wanted) // total != ((place - 1) * wanted) // total
    return kept


def _labelled(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of one known identity, smaller index first."""
    known = np.flatnonzero(survey.identity >= 0)
    order = known[np.argsort(survey.identity[known], kind="stable")]
    _, start, count = np.unique(survey.identity[order], return_index=True, return_counts=True)
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
    distinct = np.unique(one * len(survey) + other)
    one, other = distinct // max(1, len(survey)), distinct % max(1, len(survey))
    apart = survey.duplicate[one] != survey.duplicate[other]
    return one[apart], other[apart]


def _mined(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that mining finds and of which not both are labelled, smaller index first."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    order = np.argsort(survey.mined.of, kind="stable")
    _, start, count = np.unique(survey.mined.of[order], return_index=True, return_counts=True)
    place = np.full(len(survey) + 1, -1)
    for first, size in zip(start.tolist(), count.tolist(), strict=True):
        if size == 1:
            continue
        members = order[first : first + size]
        k = min(size, survey.mined.typical)
        place[members] = np.arange(size)
        # -1 of a missing neighbour reads the last entry of `place`, which stays -1.
        near = place[survey.peers[members, :k]]
        place[members] = -1
        agree = _agreement(near, size) >= AGREEMENT if size > 2 else np.ones((2, 2), dtype=bool)
        a, b = np.nonzero(np.triu(agree, 1))
        left.append(members[a])
        right.append(members[b])
    one, other = np.concatenate(left), np.concatenate(right)
    kept = survey.duplicate[one] != survey.duplicate[other]
    kept &= (survey.identity[one] < 0) | (survey.identity[other] < 0)
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
