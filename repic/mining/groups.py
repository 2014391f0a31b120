"""Which objects are one and the same, when nothing is labelled.

One threshold on similarity cannot say: two photos of a dog may be less alike than two dogs of a
breed. What holds at every density is that the photos of one thing are *each other's* nearest
neighbours. So:

1. **Local scale.** Similarity minus the mean similarity of either object to its `DENSITY` nearest
   (cross-domain similarity local scaling; Conneau et al., "Word Translation Without Parallel
   Data", 2018), which makes sparse and dense regions comparable and takes hubs away.
2. **A tree.** Average linkage over mutual nearest neighbours proposes nested groups of all sizes.
3. **Closedness.** In a group of s, how many of the s - 1 nearest neighbours of its members are
   members: 1 for a group that only knows itself, about 1/2 for any ball cut out of a continuum.
   Measured above what chance gives, (s - 1) / (n - 1).
4. **The cut.** Disjoint groups of the tree that are most probable given their closedness, the
   heights of their joins and the profile of group sizes; heights and profile are learned from the
   cut itself (`cut`). That is the only calibration, and it is made anew for each collection.

In a continuum of ten or more dimensions, where vectors do not tell things apart, about 0.6 of all
objects still have a mutual nearest neighbour, and come out as twos and little else. A result that
looks like this is none: then every object stays alone, and `Groups.typical` is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from repic.mining.cut import cut
from repic.mining.linkage import Forest, average_linkage
from repic.mining.similarity import Neighbours

DENSITY = 5
"""Neighbours whose mean similarity is an object's local density; 4 to 10 do equally well."""

LARGEST = 100
"""Most members of a mined group; a larger one comes out in parts."""

LEAST_GROUPS = 4
"""A collection is expected to show at least so many things; none has a larger share of it."""

BY_CHANCE, LEAST_TOLD = 0.6, 0.7
"""Share of objects with a mutual nearest neighbour in a continuum, and where things are told
apart."""

NOTHING = -(1 << 40)
"""Scale where there is no neighbour."""


@dataclass(frozen=True)
class Groups:
    """A partition into mined groups.

    Attributes:
        of: int64 (n,), group of each object: the smallest index among its members.
        size: int64 (n,), members of that group.
        typical: Median size over the members of groups of two or more; 1 if there are none, which
            says that nothing was found out, not that all are different.
    """

    of: np.ndarray
    size: np.ndarray
    typical: int


def local_scale(near: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours in order of local scale: index int32 (n, k), scale int64 (n, k).

    Scale is in half ten-thousandths; where there is no neighbour, index is -1.
    """
    usable = near.index >= 0
    nearest = np.where(usable, near.similarity, 0)[:, :DENSITY].astype(np.int64)
    density = nearest.sum(1) // np.maximum(1, usable[:, :DENSITY].sum(1))
    scale = 2 * near.similarity.astype(np.int64) - density[:, None] - density[near.index]
    return _ordered(near.index, np.where(usable, scale, NOTHING))


def find(
    index: np.ndarray,
    scale: np.ndarray,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
) -> tuple[Groups, np.ndarray]:
    """Mined groups, none of which holds two known identities, and the neighbours they rest on.

    Args:
        index, scale: What `local_scale` returns, of at least `LARGEST` neighbours or all.
        photo, duplicate: int (n,), each object's photo and that photo's near-duplicate group.
        identity: int (n,), -1 where unknown; two that are known to differ are no neighbours.

    Returns:
        The groups, and int32 (n, <= LARGEST): the neighbours that are not known to differ. No group
        has more members than there are such neighbours.
    """
    n = len(duplicate)
    theirs = identity[index]
    differ = (identity[:, None] >= 0) & (theirs >= 0) & (identity[:, None] != theirs)
    if differ.any():
        index, scale = _ordered(np.where(differ, -1, index), np.where(differ, NOTHING, scale))
    largest = max(2, min(LARGEST, n // LEAST_GROUPS))
    index, scale = index[:, :largest], scale[:, :largest]
    forest = average_linkage(index, scale, photo, duplicate, identity, largest)
    of = np.arange(n)
    for node in cut(forest, _closedness(forest, index, duplicate), largest):
        of[forest.members[node]] = forest.members[node].min()
    size = np.bincount(of, minlength=n)[of]
    grouped = np.sort(size[size > 1])
    typical = int(grouped[len(grouped) // 2]) if len(grouped) else 1
    if typical == 2 and _looks_like_chance(index, size):
        return alone(n), index
    return Groups(of, size, typical), index


def _looks_like_chance(index: np.ndarray, size: np.ndarray) -> bool:
    """Whether groups of two are as few as the mutual nearest neighbours of a continuum.

    These are a share of `BY_CHANCE`, and of few objects, by luck, two standard deviations more.
    """
    n = len(size)
    mutual = index[index[:, 0], 0] == np.arange(n)
    told = int(((size > 2) | ((size == 2) & mutual)).sum())
    luck = 2 * math.sqrt(2 * BY_CHANCE * (1 - BY_CHANCE) / n)
    return told < n * max(LEAST_TOLD, BY_CHANCE + luck)


def alone(n: int) -> Groups:
    """No two of n objects in one group."""
    return Groups(np.arange(n), np.ones(n, dtype=np.int64), 1)


def _ordered(index: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scale, axis=1, kind="stable")
    return np.take_along_axis(index, order, 1), np.take_along_axis(scale, order, 1)


def _closedness(forest: Forest, index: np.ndarray, duplicate: np.ndarray) -> np.ndarray:
    """Closedness of each node of the forest above chance, 0 to 1; nan where no pair can be."""
    n = len(index)
    result = np.full(len(forest.members), np.nan)
    owner = np.full(n + 1, -1)
    for node in range(n, len(forest.members)):
        group = forest.members[node]
        _, place, count = np.unique(duplicate[group], return_inverse=True, return_counts=True)
        reach = len(group) - count[place]
        if not reach.any():
            continue
        owner[group] = node
        depth = int(reach.max())
        inside = owner[index[group, :depth]] == node
        inside &= np.arange(inside.shape[1]) < reach[:, None]
        chance = reach.mean() / (n - 1)
        result[node] = max(0.0, (inside.sum() / reach.sum() - chance) / (1 - chance))
    return result
