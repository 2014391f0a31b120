"""Grouping as it is defined, object by object: the reference for the arrays of `repic.mining`."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from repic.mining.clustering import (
    CLOSED,
    FALL,
    HEIGHT,
    OPEN,
    ROUNDS,
    UNSEEN,
    WEIGHT,
)
from repic.mining.neighbors import Analysis
from repic.mining.positives import AGREEMENT, MOST_PARTNERS


@dataclass(frozen=True)
class PlainForest:
    """Nested candidate groups. Node t < n is object t; a later node joins two earlier nodes.

    Attributes:
        children: The two nodes that a node joins; (-1, -1) for an object.
        members: int64 arrays, the objects of a node.
        height: Mean scale between the two joined nodes, half ten-thousandths above the scale of the
            typical last neighbor; 0 for an object. It decreases, or nearly so, from node to parent.
    """

    children: list[tuple[int, int]]
    members: list[np.ndarray]
    height: list[float]


def average_linkage(
    index: np.ndarray,
    scale: np.ndarray,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
    largest: int,
) -> PlainForest:
    """Repeatedly join the two clusters of highest mean scale; ties by their largest members.

    Pairs that are not mutual neighbors count as the typical last neighbor, which is the zero of
    scale here. All values are integers, so sums do not depend on their order. Objects in
    near-duplicate photos are never neighbors, so their pairs are not counted.

    Args:
        index, scale: (n, k), neighbors in order of local scale, -1 where there is none. With k =
            `largest` the last neighbor is the first that cannot share a group with all before it.
        photo, duplicate: int (n,), each object's photo and that photo's near-duplicate group.
        identity: int (n,), -1 where unknown; no node contains two known identities.
        largest: Maximum members of a node.
    """
    n = len(identity)
    links = _mutual_links(index, scale)
    apart = _near_duplicate_pairs(photo, duplicate)
    identities = identity.tolist()
    members: list[list[int] | None] = [[i] for i in range(n)]  # None once a node was joined
    children: list[tuple[int, int]] = [(-1, -1)] * n
    nodes: list[np.ndarray] = [np.array([i]) for i in range(n)]
    height = [0.0] * n
    heap: list[tuple[float, int, int, int, int]] = [
        (-weight, a, b, a, b)
        for a, linked in enumerate(links)
        for b, weight in linked.items()
        if a < b
    ]
    heapq.heapify(heap)
    while heap:
        negative, _, _, a, b = heapq.heappop(heap)
        left, right = members[a], members[b]
        if left is None or right is None:
            continue
        node, joined = len(nodes), left + right
        members[a] = members[b] = None
        members.append(joined)
        nodes.append(np.array(joined))
        children.append((a, b))
        height.append(-negative)
        identities.append(max(identities[a], identities[b]))
        total, uncounted = _joined(links, a, b), _joined(apart, a, b)
        new: dict[int, int] = {}
        for other, weight in total.items():
            theirs = members[other]
            linked = links[other]
            linked.pop(a, None)
            linked.pop(b, None)
            if theirs is None or len(theirs) + len(joined) > largest:
                continue
            if -1 < identities[other] != identities[node] > -1:
                continue
            new[other] = linked[node] = weight
            pairs = len(theirs) * len(joined) - uncounted.get(other, 0)
            last = sorted((max(theirs), max(joined)))
            heapq.heappush(heap, (-weight / pairs, *last, other, node))
        links.append(new)
        apart.append(uncounted)
        for other, count in uncounted.items():
            apart[other].pop(a, None)
            apart[other].pop(b, None)
            apart[other][node] = count
    return PlainForest(children, nodes, height)


def _joined(entries: list[dict[int, int]], a: int, b: int) -> dict[int, int]:
    """Sum of the entries of two nodes, without those between them; clears the entries of both."""
    total = entries[a]
    for other, value in entries[b].items():
        total[other] = total.get(other, 0) + value
    total.pop(a, None)
    total.pop(b, None)
    entries[a], entries[b] = {}, {}
    return total


def _near_duplicate_pairs(photo: np.ndarray, duplicate: np.ndarray) -> list[dict[int, int]]:
    """For each object: 1 for each object in another photo that is a near-duplicate of its own."""
    pairs: list[dict[int, int]] = [{} for _ in range(len(photo))]
    order = np.argsort(duplicate, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(duplicate[order])) + 1):
        if len(set(photo[group].tolist())) > 1:
            for one in group.tolist():
                pairs[one] = dict.fromkeys(group[photo[group] != photo[one]].tolist(), 1)
    return pairs


def _mutual_links(index: np.ndarray, scale: np.ndarray) -> list[dict[int, int]]:
    """For each object: its mutual neighbors, with their scale above that of the last neighbor."""
    n, k = index.shape
    links: list[dict[int, int]] = [{} for _ in range(n)]
    usable = index >= 0
    last = usable.sum(1) - 1
    if not (last >= 0).any():
        return links
    floor = int(np.median(scale[np.arange(n), last][last >= 0]))
    one = np.repeat(np.arange(n), k)[usable.ravel()]
    other = index[usable].astype(np.int64)
    weight = scale[usable] - floor
    mutual = np.isin(one * n + other, other * n + one, assume_unique=True) & (weight > 0)
    for a, b, w in zip(
        one[mutual].tolist(), other[mutual].tolist(), weight[mutual].tolist(), strict=True
    ):
        links[a][b] = w
    return links


def closedness(forest: PlainForest, index: np.ndarray, duplicate: np.ndarray) -> np.ndarray:
    """Closedness of each node above chance, 0 to 1; nan where no two members can be a pair."""
    n = len(index)
    result = np.full(len(forest.members), np.nan)
    owner = np.full(n + 1, -1)
    for node in range(n, len(forest.members)):
        group = forest.members[node]
        _, inverse, count = np.unique(duplicate[group], return_inverse=True, return_counts=True)
        reach = len(group) - count[inverse]
        if not reach.any():
            continue
        owner[group] = node
        depth = int(reach.max())
        inside = owner[index[group, :depth]] == node
        inside &= np.arange(inside.shape[1]) < reach[:, None]
        chance = reach.mean() / (n - 1)
        result[node] = max(0.0, (inside.sum() / reach.sum() - chance) / (1 - chance))
    return result


def cut(forest: PlainForest, closedness: np.ndarray, largest: int) -> list[int]:
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
        closedness: float (nodes,), 0 to 1 above chance; nan where a node cannot be a group.
        largest: Maximum members of a node.
    """
    sizes = [len(members) for members in forest.members]
    closed = [_closedness_odds(s, c) for s, c in zip(sizes, closedness.tolist(), strict=True)]
    within, refused = _first_falls(forest)
    profile = np.full(largest + 1, 1 / largest)
    chosen: list[int] = []
    for _ in range(ROUNDS):
        prior = np.log(profile).tolist()
        joins = _join_odds(forest, within, refused)
        previous = chosen
        chosen = _best(
            forest, [c + j + s * prior[s] for c, j, s in zip(closed, joins, sizes, strict=True)]
        )
        if chosen == previous:
            break
        within, refused = _usual_heights(forest, chosen)
        seen = np.bincount([sizes[node] for node in chosen], minlength=largest + 1)
        seen = seen * np.arange(largest + 1)
        profile = (1 - UNSEEN) * seen / seen.sum() + UNSEEN / largest
    return chosen


def _closedness_odds(size: int, closedness: float) -> float:
    """Evidence for a group of this size, in nats."""
    if size == 1:
        return 0.0
    if math.isnan(closedness):
        return -math.inf
    gain, loss = math.log(CLOSED / OPEN), math.log((1 - CLOSED) / (1 - OPEN))
    return WEIGHT * (size - 1) * (closedness * gain + (1 - closedness) * loss)


def _join_odds(forest: PlainForest, within: float, refused: float) -> list[float]:
    """Evidence for each node from the heights of all joins in it, in nats."""
    middle, half = (within + refused) / 2, max(1.0, (within - refused) / 2)
    total: list[float] = []
    for (a, b), height in zip(forest.children, forest.height, strict=True):
        if a < 0:
            total.append(0.0)
        else:
            share = min(1.0, max(-1.0, (height - middle) / half))
            total.append(total[a] + total[b] + HEIGHT * share)
    return total


def _first_falls(forest: PlainForest) -> tuple[float, float]:
    """Mean height of the joins below the first fall, and of the first falls."""
    within, refused = [], []
    intact: list[bool] = []
    for (a, b), height in zip(forest.children, forest.height, strict=True):
        if a < 0:
            intact.append(True)
            continue
        below = [forest.height[c] for c in (a, b) if forest.children[c][0] >= 0]
        falls = bool(below) and height < FALL * min(below)
        intact.append(intact[a] and intact[b] and not falls)
        if intact[-1]:
            within.append(height)
        elif intact[a] or intact[b]:
            refused.append(height)
    return _mean(within), _mean(refused)


def _usual_heights(forest: PlainForest, chosen: list[int]) -> tuple[float, float]:
    """Mean height of joins in chosen nodes, and of joins directly above them; 0 without joins."""
    inside = set(chosen)
    joined = {child for both in forest.children for child in both}
    refused = [0.0 for node in chosen if node not in joined and forest.children[node][0] >= 0]
    for node in range(len(forest.children) - 1, -1, -1):
        a, b = forest.children[node]
        if a < 0:
            break
        if node in inside:
            inside.update((a, b))
        elif a in inside or b in inside:
            refused.append(forest.height[node])
    within = [forest.height[node] for node in inside if forest.children[node][0] >= 0]
    return _mean(within), _mean(refused)


def _mean(heights: list[float]) -> float:
    return math.fsum(heights) / max(1, len(heights))


def _best(forest: PlainForest, score: list[float]) -> list[int]:
    """Disjoint nodes of highest total score that cover all leaves; ties go to the larger node."""
    best = list(score)
    split = [False] * len(score)
    root = [True] * len(score)
    for node, (a, b) in enumerate(forest.children):
        if a < 0:
            continue
        root[a] = root[b] = False
        if best[a] + best[b] > best[node]:
            best[node], split[node] = best[a] + best[b], True
    waiting = [node for node in range(len(score)) if root[node]]
    chosen = []
    while waiting:
        node = waiting.pop()
        if split[node]:
            waiting.extend(forest.children[node])
        else:
            chosen.append(node)
    return sorted(chosen)


def labelled(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with the same known identity, smaller index first."""
    labelled = np.flatnonzero(analysis.identity >= 0)
    order = labelled[np.argsort(analysis.identity[labelled], kind="stable")]
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


def mined(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Mined pairs of which at most one object is labelled, smaller index first."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    order = np.argsort(analysis.mined.group, kind="stable")
    _, start, count = np.unique(analysis.mined.group[order], return_index=True, return_counts=True)
    position = np.full(len(analysis) + 1, -1)  # in the group
    for first, size in zip(start.tolist(), count.tolist(), strict=True):
        if size == 1:
            continue
        members = order[first : first + size]
        k = min(size, analysis.mined.typical_size)
        position[members] = np.arange(size)
        # The -1 of a missing neighbor reads the last entry of `position`, which stays -1.
        near = position[analysis.peers[members, :k]]
        position[members] = -1
        agree = _agreement(near, size) >= AGREEMENT if size > 2 else np.ones((2, 2), dtype=bool)
        a, b = np.nonzero(np.triu(agree, 1))
        left.append(members[a])
        right.append(members[b])
    one, other = np.concatenate(left), np.concatenate(right)
    kept = analysis.duplicate[one] != analysis.duplicate[other]
    kept &= (analysis.identity[one] < 0) | (analysis.identity[other] < 0)
    return one[kept], other[kept]


def _agreement(near: np.ndarray, size: int) -> np.ndarray:
    """Jaccard index of the mutual neighborhoods of a group's members, (size, size).

    A neighborhood includes the member itself.

    Args:
        near: int (size, k), nearest neighbors as positions in the group, -1 outside of it.
    """
    neighbors = np.zeros((size, size + 1), dtype=bool)
    neighbors[np.arange(size)[:, None], near] = True
    mutual = (neighbors[:, :size] & neighbors[:, :size].T) | np.eye(size, dtype=bool)
    shared = mutual.astype(np.int64) @ mutual.T.astype(np.int64)
    degree = mutual.sum(1)
    return shared / (degree[:, None] + degree[None, :] - shared)
