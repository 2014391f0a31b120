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
4. **The cut.** Disjoint groups of the tree that are most probable given their closedness and the
   profile of group sizes; the profile is learned from the cut, and the cut made again, until both
   agree. That is what keeps two look-alikes with five photos each from becoming one thing with
   ten: everything else in this collection comes in fives. It also is the only calibration, and it
   is made anew for each collection.

In a continuum of ten or more dimensions, where vectors do not tell things apart, about 0.6 of all
objects still have a mutual nearest neighbour, and come out as twos and little else. A result that
looks like this is none: then every object stays alone, and `Groups.typical` is 1.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from repic.mine.similarity import Neighbours

DENSITY = 5
"""Neighbours whose mean similarity is an object's local density; 4 to 10 do equally well."""

LARGEST = 32
"""Most members of a mined group; a larger one comes out in parts."""

CLOSED, OPEN = 0.95, 0.6
"""Expected closedness of a group and of a ball out of a continuum."""

WEIGHT = 4.0
"""Neighbours per member that count as independent evidence, beside one draw from the profile."""

UNSEEN = 0.05
"""Share of the size profile that is spread evenly, for sizes that the last cut did not have."""

LEAST_GROUPS = 4
"""A collection is expected to show at least so many things; none has a larger share of it."""

LEAST_GROUPED = 0.7
"""Share of objects that must be in a group where groups are twos; by chance it is 0.6."""

ROUNDS = 20
"""Most times that cut and profile are made; they agree after three or four."""

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


@dataclass(frozen=True)
class Forest:
    """Nested candidate groups. Node t < n is object t; a later one joins two earlier ones."""

    children: list[tuple[int, int]]
    members: list[np.ndarray]


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
    index: np.ndarray, scale: np.ndarray, duplicate: np.ndarray, identity: np.ndarray
) -> tuple[Groups, np.ndarray]:
    """Mined groups, none of which holds two known identities, and the neighbours they rest on.

    Args:
        index, scale: What `local_scale` returns, of at least `LARGEST` neighbours or all.
        duplicate: int (n,), near-duplicate group of each object's photo.
        identity: int (n,), -1 where unknown; two that are known to differ are no neighbours.

    Returns:
        The groups, and int32 (n, <= LARGEST): the neighbours that are not known to differ.
    """
    n = len(duplicate)
    theirs = identity[index]
    differ = (identity[:, None] >= 0) & (theirs >= 0) & (identity[:, None] != theirs)
    if differ.any():
        index, scale = _ordered(np.where(differ, -1, index), np.where(differ, NOTHING, scale))
    index, scale = index[:, :LARGEST], scale[:, :LARGEST]
    largest = max(2, min(LARGEST, n // LEAST_GROUPS))
    forest = _average_linkage(index, scale, identity, largest)
    of = np.arange(n)
    for node in _cut(forest, _closedness(forest, index, duplicate), largest):
        of[forest.members[node]] = forest.members[node].min()
    size = np.bincount(of, minlength=n)[of]
    grouped = np.sort(size[size > 1])
    typical = int(grouped[len(grouped) // 2]) if len(grouped) else 1
    if typical == 2 and len(grouped) < LEAST_GROUPED * n:
        return alone(n), index
    return Groups(of, size, typical), index


def alone(n: int) -> Groups:
    """No two of n objects in one group."""
    return Groups(np.arange(n), np.ones(n, dtype=np.int64), 1)


def _ordered(index: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scale, axis=1, kind="stable")
    return np.take_along_axis(index, order, 1), np.take_along_axis(scale, order, 1)


def _average_linkage(
    index: np.ndarray, scale: np.ndarray, identity: np.ndarray, largest: int
) -> Forest:
    """Joins the two clusters of highest mean scale, again and again.

    Pairs that are no mutual neighbours count as the typical last neighbour, from which scale is
    measured here; all in integers, so that no sum depends on its order.
    """
    n = len(identity)
    links = _mutual_links(index, scale)
    known = identity.tolist()
    members: list[list[int] | None] = [[i] for i in range(n)]
    children: list[tuple[int, int]] = [(-1, -1)] * n
    kept: list[np.ndarray] = [np.array([i]) for i in range(n)]
    heap: list[tuple[float, int, int]] = [
        (-weight, a, b) for a, linked in enumerate(links) for b, weight in linked.items() if a < b
    ]
    heapq.heapify(heap)
    while heap:
        _, a, b = heapq.heappop(heap)
        left, right = members[a], members[b]
        if left is None or right is None:
            continue
        node, joined = len(kept), left + right
        members[a] = members[b] = None
        members.append(joined)
        kept.append(np.array(joined))
        children.append((a, b))
        known.append(max(known[a], known[b]))
        total = links[a]
        for other, weight in links[b].items():
            total[other] = total.get(other, 0) + weight
        links[a] = links[b] = {}
        new: dict[int, int] = {}
        for other, weight in total.items():
            if other in (a, b):
                continue
            theirs = members[other]
            linked = links[other]
            linked.pop(a, None)
            linked.pop(b, None)
            if theirs is None or len(theirs) + len(joined) > largest:
                continue
            if -1 < known[other] != known[node] > -1:
                continue
            new[other] = linked[node] = weight
            heapq.heappush(heap, (-weight / (len(theirs) * len(joined)), other, node))
        links.append(new)
    return Forest(children, kept)


def _mutual_links(index: np.ndarray, scale: np.ndarray) -> list[dict[int, int]]:
    """Of each object: the objects that it is mutual neighbours with, and scale above the floor."""
    n, k = index.shape
    links: list[dict[int, int]] = [{} for _ in range(n)]
    have = index >= 0
    last = have.sum(1) - 1
    if not (last >= 0).any():
        return links
    floor = int(np.median(scale[np.arange(n), last][last >= 0]))
    one = np.repeat(np.arange(n), k)[have.ravel()]
    other = index[have].astype(np.int64)
    weight = scale[have] - floor
    there, back = one * n + other, other * n + one
    mutual = np.isin(there, back, assume_unique=True) & (weight > 0)
    for a, b, w in zip(
        one[mutual].tolist(), other[mutual].tolist(), weight[mutual].tolist(), strict=True
    ):
        links[a][b] = w
    return links


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


def _cut(forest: Forest, closedness: np.ndarray, largest: int) -> list[int]:
    """Most probable disjoint nodes that cover all objects, with the size profile they imply."""
    sizes = [len(m) for m in forest.members]
    gain = math.log(CLOSED / OPEN)
    loss = math.log((1 - CLOSED) / (1 - OPEN))
    evidence = [
        WEIGHT * (s - 1) * (c * gain + (1 - c) * loss) if c == c else -math.inf
        for s, c in zip(sizes, closedness.tolist(), strict=True)
    ]
    for leaf, (a, _) in enumerate(forest.children):
        if a < 0:
            evidence[leaf] = 0.0
    profile = np.full(largest + 1, 1 / largest)
    chosen: list[int] = []
    for _ in range(ROUNDS):
        prior = np.log(profile).tolist()
        previous, chosen = (
            chosen,
            _best(forest, [e + s * prior[s] for s, e in zip(sizes, evidence, strict=True)]),
        )
        if chosen == previous:
            break
        seen = np.bincount([sizes[t] for t in chosen], minlength=largest + 1) * np.arange(
            largest + 1
        )
        profile = (1 - UNSEEN) * seen / seen.sum() + UNSEEN / largest
    return chosen


def _best(forest: Forest, score: list[float]) -> list[int]:
    """Disjoint nodes of highest total score that cover all leaves; ties go to the larger parts."""
    best = list(score)
    split = [False] * len(score)
    root = [True] * len(score)
    for node, (a, b) in enumerate(forest.children):
        if a < 0:
            continue
        root[a] = root[b] = False
        if best[a] + best[b] > best[node]:
            best[node], split[node] = best[a] + best[b], True
    todo = [node for node in range(len(score)) if root[node]]
    chosen = []
    while todo:
        node = todo.pop()
        if split[node]:
            todo.extend(forest.children[node])
        else:
            chosen.append(node)
    return sorted(chosen)
