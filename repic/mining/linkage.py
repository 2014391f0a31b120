"""The tree of candidate groups: average linkage over mutual nearest neighbors."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Forest:
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
) -> Forest:
    """Repeatedly join the two clusters of highest mean scale.

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
    heap: list[tuple[float, int, int]] = [
        (-weight, a, b) for a, linked in enumerate(links) for b, weight in linked.items() if a < b
    ]
    heapq.heapify(heap)
    while heap:
        negative, a, b = heapq.heappop(heap)
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
            heapq.heappush(heap, (-weight / pairs, other, node))
        links.append(new)
        apart.append(uncounted)
        for other, count in uncounted.items():
            apart[other].pop(a, None)
            apart[other].pop(b, None)
            apart[other][node] = count
    return Forest(children, nodes, height)


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
