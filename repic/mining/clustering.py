"""Which objects are the same one, when nothing is labelled.

No single threshold on similarity answers this: two photos of one dog may be less similar than two
dogs of one breed. At every density, however, photos of one object are *each other's* nearest
neighbors. The steps are:

1. **Local scale** (`local_scale`): similarity minus the mean similarity of both objects to their
   `DENSITY` nearest neighbors (CSLS; Conneau et al., "Word Translation Without Parallel Data",
   2018). It makes sparse and dense regions comparable and removes hubs.
2. **A tree** (`linkage`): average linkage over mutual nearest neighbors proposes nested groups of
   all sizes.
3. **Closedness** (`closedness`): in a group of s objects, the share of the s - 1 nearest neighbors
   of its members that are members, corrected for chance, (s - 1) / (n - 1). It is 1 for an isolated
   group and about 1/2 for a ball cut out of a continuum.
4. **The cut** (`_cut`): the most probable disjoint groups of the tree, given closedness, heights of
   joins and group sizes. Heights and sizes are learned from the cut itself, for each collection.
   There is no other calibration.

In a continuum of ten or more dimensions, where vectors do not separate objects, about 0.6 of all
objects still have a mutual nearest neighbor and form groups of two, and few larger groups appear.
Such a result is discarded: every object is then alone, and `Groups.typical_size` is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from repic.mining.closedness import closedness
from repic.mining.linkage import Forest, average_linkage
from repic.mining.similarity import Neighbors

DENSITY = 5
"""Number of neighbors whose mean similarity is an object's local density; 4 to 10 work equally
well."""

LARGEST = 100
"""Maximum members of a mined group; a larger identity is split into several groups."""

LEAST_GROUPS = 4
"""Minimum number of groups that a collection should have: no group is larger than n / 4."""

BY_CHANCE, LEAST_SEPARATED = 0.6, 0.7
"""Share of objects with a mutual nearest neighbor in a continuum, and the minimum share where
vectors separate objects."""

NO_NEIGHBOR = -(1 << 30)
"""Scale of a missing neighbor."""

CLOSED, OPEN = 0.95, 0.6
"""Expected closedness of a group, and of a ball cut out of a continuum."""

WEIGHT = 4.0
"""Neighbors per member that count as independent evidence, beside one draw from the profile."""

HEIGHT = 5.0
"""Maximum evidence from the height of one join, in nats; 4 to 7 work equally well."""

FALL = 0.65
"""The first cut takes a join below this share of a lower join as a join between objects. Nearly all
joins within objects are higher, most of those above them are lower; 0.6 to 0.7 work equally well.
"""

UNSEEN = 0.05
"""Share of the size profile that is spread evenly over sizes that the last cut did not contain."""

ROWS = 1 << 13
"""Number of objects whose neighbors are ordered at once."""

ROUNDS = 20
"""Maximum number of cuts; they converge after three or four."""


@dataclass(frozen=True)
class Groups:
    """A partition into mined groups.

    Attributes:
        group: int64 (n,), group of each object: the smallest index among its members.
        size: int64 (n,), number of members of that group.
        typical_size: Median size over the members of groups of two or more. 1 if there are no such
            groups: mining found nothing, which does not mean that all objects differ.
    """

    group: np.ndarray
    size: np.ndarray
    typical_size: int


Scaled = tuple[np.ndarray, np.ndarray]
"""Neighbors in order of local scale: index int32 (n, k), -1 for a missing one, and their scale,
int32 (n, k), in half ten-thousandths."""


def local_scale(near: Neighbors, rows: np.ndarray | None = None) -> Scaled:
    """Neighbors in order of local scale, of all objects or of some."""
    nearest, first = near.similarity[:, :DENSITY], near.index[:, :DENSITY] >= 0
    density = np.where(first, nearest, 0).sum(1) // np.maximum(1, first.sum(1))
    rows = np.arange(len(near.index)) if rows is None else rows
    index, scale = (np.empty((len(rows), near.index.shape[1]), np.int32) for _ in range(2))
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        own = rows[part]
        theirs, alike = near.index[own], near.similarity[own].astype(np.int64)
        local = 2 * alike - density[own, None] - density[theirs]
        index[part], scale[part] = _ordered(theirs, np.where(theirs >= 0, local, NO_NEIGHBOR))
    return index, scale


def mine_groups(
    scaled: Scaled,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
) -> tuple[Groups, np.ndarray]:
    """Mined groups, none of which contains two known identities, and the neighbors they rest on.

    Args:
        scaled: Result of `local_scale`, with at least `LARGEST` neighbors or all of them. Nobody
            else should hold it: it is large, and freed as soon as it is not needed.
        photo, duplicate: int (n,), each object's photo and that photo's near-duplicate group.
        identity: int (n,), -1 where unknown; objects of different known identities are not
            neighbors.

    Returns:
        The groups, and int32 (n, typical size): neighbors that are not known to differ. A group
        has at most as many members as an object has such neighbors.
    """
    n = len(duplicate)
    index, scale = scaled
    del scaled
    largest = max(2, min(LARGEST, n // LEAST_GROUPS))
    if (identity >= 0).any():
        index, scale = _not_known_to_differ(index, scale, identity, largest)
    index, scale = index[:, :largest], scale[:, :largest]
    forest = average_linkage(index, scale, photo, duplicate, identity, largest)
    chosen = _cut(forest, closedness(forest, index, duplicate), largest)
    group, size = _partition(forest, chosen)
    grouped = np.sort(size[size > 1])
    typical_size = int(grouped[len(grouped) // 2]) if len(grouped) else 1
    if typical_size == 2 and _looks_like_chance(index, size):
        return singletons(n), index[:, :1].copy()
    return Groups(group, size, typical_size), index[:, :typical_size].copy()


def _not_known_to_differ(
    index: np.ndarray, scale: np.ndarray, identity: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `most` neighbors that have not another known identity: index and scale."""
    shape = len(index), min(most, index.shape[1])
    left, theirs_scale = np.empty(shape, index.dtype), np.empty(shape, scale.dtype)
    for start in range(0, len(index), ROWS):
        part = slice(start, start + ROWS)
        own, theirs = identity[part, None], identity[index[part]]
        differ = (own >= 0) & (theirs >= 0) & (own != theirs)
        one, other = _ordered(
            np.where(differ, -1, index[part]), np.where(differ, NO_NEIGHBOR, scale[part])
        )
        left[part], theirs_scale[part] = one[:, :most], other[:, :most]
    return left, theirs_scale


def singletons(n: int) -> Groups:
    """n objects, each alone in its group."""
    return Groups(np.arange(n), np.ones(n, dtype=np.int64), 1)


def _partition(forest: Forest, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group and size of the group of each object, of disjoint nodes that cover all objects."""
    group, size = np.arange(forest.objects), np.ones(forest.objects, dtype=np.int64)
    nodes = chosen[np.argsort(forest.start[chosen])]
    if len(nodes):
        sizes = forest.size[nodes]
        first = np.minimum.reduceat(forest.order, forest.start[nodes])
        group[forest.order], size[forest.order] = np.repeat(first, sizes), np.repeat(sizes, sizes)
    return group, size


def _looks_like_chance(index: np.ndarray, size: np.ndarray) -> bool:
    """Whether there are no more groups of two than mutual nearest neighbors in a continuum.

    In a continuum these are a share of `BY_CHANCE`; in a small collection, up to two standard
    deviations more.
    """
    n = len(size)
    mutual = index[index[:, 0], 0] == np.arange(n)
    separated = int(((size > 2) | ((size == 2) & mutual)).sum())
    tolerance = 2 * math.sqrt(2 * BY_CHANCE * (1 - BY_CHANCE) / n)
    return separated < n * max(LEAST_SEPARATED, BY_CHANCE + tolerance)


def _ordered(index: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scale, axis=1, kind="stable")
    return np.take_along_axis(index, order, 1), np.take_along_axis(scale, order, 1)


def _cut(forest: Forest, closed: np.ndarray, largest: int) -> np.ndarray:
    """Most probable disjoint nodes that cover all objects, in order.

    Adds three kinds of evidence, as log odds:

    - *Closedness* of a node: an isolated group, or a ball cut out of a continuum.
    - *Height* of each join in a node. A pair of look-alikes, a category and the whole collection
      are closed as well. But joins within an object are high, and the next join above it is clearly
      lower. A join counts from +`HEIGHT`, at the usual height within a node, to -`HEIGHT`, at the
      usual height of a refused join.
    - *Size*: how common groups of this size are. It keeps two look-alikes with five photos each
      from becoming one object with ten in a collection where all other groups have five.

    Usual heights and sizes are learned from the cut, and the cut is repeated until it is stable.
    It is stable at any clear level, of objects or of categories, so the start decides: each branch
    of the tree, from the leaves up, to the first join that is lower than `FALL` times a join below
    it. That is the finest clear level.

    Args:
        closed: float (nodes,), closedness, 0 to 1 above chance; nan where a node cannot be a group.
        largest: Maximum members of a node.
    """
    sizes = forest.size
    closed = _closedness_odds(sizes, closed)
    within, refused = _first_falls(forest)
    profile = np.full(largest + 1, 1 / largest)
    chosen = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        joins = _join_odds(forest, within, refused)
        previous = chosen
        chosen = _best(forest, closed + joins + sizes * np.log(profile)[sizes])
        if np.array_equal(chosen, previous):
            break
        within, refused = _usual_heights(forest, chosen)
        seen = np.bincount(sizes[chosen], minlength=largest + 1)
        seen = seen * np.arange(largest + 1)
        profile = (1 - UNSEEN) * seen / seen.sum() + UNSEEN / largest
    return chosen


def _closedness_odds(size: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Evidence for groups of these sizes, in nats."""
    gain, loss = math.log(CLOSED / OPEN), math.log((1 - CLOSED) / (1 - OPEN))
    odds = WEIGHT * (size - 1) * (closed * gain + (1 - closed) * loss)
    return np.where(size == 1, 0.0, np.where(np.isnan(closed), -np.inf, odds))


def _join_odds(forest: Forest, within: float, refused: float) -> np.ndarray:
    """Evidence for each node from the heights of all joins in it, in nats."""
    middle, half = (within + refused) / 2, max(1.0, (within - refused) / 2)
    odds = HEIGHT * np.clip((forest.height - middle) / half, -1, 1)
    odds[: forest.objects] = 0
    return forest.summed(odds)


def _first_falls(forest: Forest) -> tuple[float, float]:
    """Mean height of the joins below the first fall, and of the first falls."""
    n, children = forest.objects, forest.children[forest.objects :]
    below = np.where(children < n, np.inf, forest.height[children]).min(1, initial=np.inf)
    falls = np.zeros(len(forest.height), dtype=bool)
    falls[n:] = np.isfinite(below) & (forest.height[n:] < FALL * below)
    intact = forest.summed(falls.astype(np.int64)) == 0
    first = ~intact[n:] & intact[children].any(1)
    return _mean(forest.height[n:][intact[n:]]), _mean(forest.height[n:][first])


def _usual_heights(forest: Forest, chosen: np.ndarray) -> tuple[float, float]:
    """Mean height of joins in chosen nodes, and of joins directly above them; 0 without joins."""
    n, children = forest.objects, forest.children[forest.objects :]
    inside = np.zeros(len(forest.height), dtype=bool)
    inside[chosen] = True
    above = forest.height[n:][~inside[n:] & inside[children].any(1)]
    for level in reversed(forest.levels):
        inside[forest.children[level][inside[level]]] = True
    complete = np.intersect1d(chosen, forest.roots)
    refused = np.concatenate([above, np.zeros(np.count_nonzero(complete >= n))])
    return _mean(forest.height[n:][inside[n:]]), _mean(refused)


def _mean(heights: np.ndarray) -> float:
    return math.fsum(heights.tolist()) / max(1, len(heights))


def _best(forest: Forest, score: np.ndarray) -> np.ndarray:
    """Disjoint nodes of highest total score that cover all leaves; ties go to the larger node."""
    best = score.copy()
    split = np.zeros(len(score), dtype=bool)
    for level in forest.levels:
        apart = best[forest.children[level]].sum(1)
        split[level] = apart > best[level]
        best[level] = np.maximum(best[level], apart)
    covered = np.zeros(len(score), dtype=bool)  # by the nodes that are looked at
    covered[forest.roots] = True
    for level in reversed(forest.levels):
        covered[forest.children[level][covered[level] & split[level]]] = True
    return np.flatnonzero(covered & ~split)
