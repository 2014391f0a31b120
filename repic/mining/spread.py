"""Labelled identities that look like several subjects.

Groups are mined as if nothing were labelled (`clustering`). The photos of one subject are in one
group, or in groups that are similar to each other; an identity that holds several subjects, such as
a folder called after a year, is in groups that are as different as other identities are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from repic.mining import clustering, similarity
from repic.mining.distribution import Distribution
from repic.mining.neighbors import NEIGHBORS, Analysis

PER_IDENTITY, IN_ALL = clustering.LARGEST, 3000
"""Most objects of an identity, and of all, that are looked at; mining 3,000 takes a few seconds."""

SEEDS = 12
"""Objects of a larger identity that are looked at, with their nearest ones."""

LEAST_SHARE = 0.25
"""Least share of the objects outside of the largest group. One photo in eight of another angle or
light is often a group of its own."""

CLOSE = 0.3
"""Similarity between groups, from 0 (that of any two objects) to 1 (that within the groups), below
which they are of several subjects. Of real photos, groups of one subject have 0.3 to 0.9, and nine
in ten pairs of subjects below 0.3."""


@dataclass(frozen=True)
class Spread:
    """An identity that looks like several subjects.

    Attributes:
        identity: Its number.
        sizes: Members of its groups that were looked at, largest group first.
    """

    identity: int
    sizes: tuple[int, ...]


def several_groups(analysis: Analysis) -> list[Spread]:
    """Identities whose objects fall into several groups that differ; those with most groups first.

    Of many objects, those of the largest identities are looked at.
    """
    chosen = _chosen(analysis)
    if not len(chosen):
        return []
    grid, identity = analysis.grid[chosen], analysis.identity[chosen]
    photo, duplicate = analysis.photo[chosen], analysis.duplicate[chosen]
    near = analysis.search.nearest(grid, duplicate, NEIGHBORS, "identities", chosen)
    unknown = np.full(len(chosen), -1)
    mined, _ = clustering.mine_groups(clustering.local_scale(near), photo, duplicate, unknown)
    average = _mean(analysis.distribution)
    found = []
    for number in np.unique(identity):
        members = np.flatnonzero(identity == number)
        counts = Counter(mined.group[members].tolist())
        parts = [members[mined.group[members] == g] for g, n in counts.most_common() if n > 1]
        sizes = tuple(map(len, parts))
        if len(parts) < 2 or sum(sizes[1:]) < LEAST_SHARE * sum(sizes):
            continue
        if _closeness(grid, duplicate, parts, average) < CLOSE:
            found.append(Spread(int(number), sizes))
    return sorted(found, key=lambda spread: (-len(spread.sizes), spread.identity))


def _chosen(analysis: Analysis) -> np.ndarray:
    """Indices of the objects to look at: whole identities, largest first."""
    numbers, counts = np.unique(analysis.identity[analysis.identity >= 0], return_counts=True)
    chosen: list[np.ndarray] = []
    room = IN_ALL
    for number in numbers[np.lexsort((numbers, -counts))]:
        members = np.flatnonzero(analysis.identity == number)
        if len(members) > PER_IDENTITY:
            members = _neighborhoods(analysis, members)
        if (room := room - len(members)) < 0:
            break
        chosen.append(members)
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def _neighborhoods(analysis: Analysis, members: np.ndarray) -> np.ndarray:
    """Some members and their nearest objects of the identity."""
    seeds = members[np.linspace(0, len(members) - 1, SEEDS).astype(np.int64)]
    near, _ = clustering.local_scale(analysis.near, seeds)
    own = (near >= 0) & (analysis.identity[near] == analysis.identity[seeds[0]])
    own &= np.cumsum(own, axis=1) <= clustering.DENSITY
    return np.unique(np.concatenate([seeds, near[own]]))


def _mean(distribution: Distribution) -> float:
    """Mean similarity of objects in different photos, ten-thousandths."""
    counts = distribution.counts
    values = np.arange(len(counts)) - similarity.UNIT
    return float(counts @ values / max(1, counts.sum()))


def _closeness(
    grid: np.ndarray, duplicate: np.ndarray, parts: list[np.ndarray], average: float
) -> float:
    """How similar groups are to each other, between that of any objects (0) and within them (1)."""
    members = np.concatenate(parts)
    part = np.repeat(np.arange(len(parts)), list(map(len, parts)))
    left, right = np.meshgrid(members, members, indexing="ij")
    similar = similarity.of_pairs(grid, left, right)
    same = part[:, None] == part[None, :]
    distinct = duplicate[left] != duplicate[right]
    within, between = similar[same & distinct], similar[~same & distinct]
    if not len(within) or not len(between) or within.mean() <= average:
        return 1.0
    return float((between.mean() - average) / (within.mean() - average))
