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
    index: np.ndarray, scale: np.ndarray, identity: np.ndarray, largest: int
) -> Forest:
    """Joins the two clusters of highest mean scale, again and again.

    Pairs that are no mutual neighbours count as the typical last neighbour, from which scale is
    measured here; all in integers, so that no sum depends on its order.

    Args:
        index, scale: (n, k), neighbours in order of local scale, -1 where there is none.
        identity: int (n,), -1 where unknown; no node holds two known ones.
        largest: Most members of a node.
    """
    n = len(identity)
    links = _mutual_links(index, scale)
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
    return Forest(children, kept, height)


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
