"""The tree of candidate groups: average linkage over mutual nearest neighbours."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Forest:
    """Nested candidate groups. Node t < n is object t; a later one joins two earlier ones.

    Attributes:
        children: The two nodes that a node joins; (-1, -1) of an object.
        members: int64 arrays, the objects of a node.
        height: Mean scale between the two joined nodes, half ten-thousandths above that of the
            typical last neighbour; 0 of an object. It falls, or nearly so, from node to parent.
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
) -> Forest:
    """Joins the two clusters of highest mean scale, again and again.

    Pairs that are no mutual neighbours count as the typical last neighbour, from which scale is
    measured here; all in integers, so that no sum depends on its order. Objects in near-duplicate
    photos are never neighbours, whatever they show, so their pairs do not count at all.

    Args:
        index, scale: (n, k), neighbours in order of local scale, -1 where there is none. With k =
            `largest` the last of them is the first that cannot be in a group with all before it.
        photo, duplicate: int (n,), each object's photo and that photo's near-duplicate group.
        identity: int (n,), -1 where unknown; no node holds two known ones.
        largest: Most members of a node.
    """
    n = len(identity)
    links = _mutual_links(index, scale)
    apart = _near_duplicate_pairs(photo, duplicate)
    known = identity.tolist()
    members: list[list[int] | None] = [[i] for i in range(n)]
    children: list[tuple[int, int]] = [(-1, -1)] * n
    kept: list[np.ndarray] = [np.array([i]) for i in range(n)]
    height = [0.0] * n
    heap: list[tuple[float, int, int]] = [
        (-weight, a, b) for a, linked in enumerate(links) for b, weight in linked.items() if a < b
    ]
    heapq.heapify(heap)
    while heap:
        negative, a, b = heapq.heappop(heap)
        left, right = members[a], members[b]
        if left is None or right is None:
            continue
        node, joined = len(kept), left + right
        members[a] = members[b] = None
        members.append(joined)
        kept.append(np.array(joined))
        children.append((a, b))
        height.append(-negative)
        known.append(max(known[a], known[b]))
        total, unknown = _joined(links, a, b), _joined(apart, a, b)
        new: dict[int, int] = {}
        for other, weight in total.items():
            theirs = members[other]
            linked = links[other]
            linked.pop(a, None)
            linked.pop(b, None)
            if theirs is None or len(theirs) + len(joined) > largest:
                continue
            if -1 < known[other] != known[node] > -1:
                continue
            new[other] = linked[node] = weight
            pairs = len(theirs) * len(joined) - unknown.get(other, 0)
            heapq.heappush(heap, (-weight / pairs, other, node))
        links.append(new)
        apart.append(unknown)
        for other, count in unknown.items():
            apart[other].pop(a, None)
            apart[other].pop(b, None)
            apart[other][node] = count
    return Forest(children, kept, height)


def _joined(of: list[dict[int, int]], a: int, b: int) -> dict[int, int]:
    """Sums of the entries of two nodes, but for those of each other; the two are left without."""
    total = of[a]
    for other, value in of[b].items():
        total[other] = total.get(other, 0) + value
    total.pop(a, None)
    total.pop(b, None)
    of[a], of[b] = {}, {}
    return total


def _near_duplicate_pairs(photo: np.ndarray, duplicate: np.ndarray) -> list[dict[int, int]]:
    """Of each object: 1 for each object in another photo that is a near-duplicate of its own."""
    pairs: list[dict[int, int]] = [{} for _ in range(len(photo))]
    order = np.argsort(duplicate, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(duplicate[order])) + 1):
        if len(set(photo[group].tolist())) > 1:
            for one in group.tolist():
                pairs[one] = dict.fromkeys(group[photo[group] != photo[one]].tolist(), 1)
    return pairs


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
