"""Closedness of groups: the share of the nearest neighbors of members that are members."""

from __future__ import annotations

import numpy as np

from repic.mining.linkage import Forest
from repic.mining.segments import ranges

POSITIONS = 1 << 14
"""Number of objects whose neighbors are looked at at once, at up to 100 neighbors each."""


def closedness(forest: Forest, index: np.ndarray, duplicate: np.ndarray) -> np.ndarray:
    """Closedness of each node above chance, 0 to 1; nan where no two members can be a pair.

    The *reach* of an object in a node is the number of members that it can be a pair with: those in
    photos that are not near-duplicates of its own. Its first neighbors, as many, should be members.
    A neighbor that is a member counts in this node and in all above it. So each neighbor is counted
    once, at the first node that contains it and in which the object reaches so far, and the counts
    are summed up the tree.

    Args:
        index: int (n, k), nearest neighbors of each object, -1 where there is none; k is at least
            the size of the largest node.
        duplicate: int (n,), near-duplicate group of each object's photo.
    """
    counts = _Counts(forest, index, duplicate)
    joins = np.arange(forest.objects, len(forest.height))
    joins = joins[np.argsort(forest.start[joins], kind="stable")]
    roots = np.sort(forest.start[forest.roots])
    first = np.arange(0, forest.objects + POSITIONS, POSITIONS)
    bounds = np.unique(np.append(roots, forest.objects)[np.searchsorted(roots, first)])
    cuts = np.searchsorted(forest.start[joins], bounds)
    for number in range(len(bounds) - 1):
        counts.add(joins[cuts[number] : cuts[number + 1]], bounds[number], bounds[number + 1])
    inside, reach = forest.summed(counts.first).astype(float), counts.reach.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = reach / forest.size / (len(index) - 1)
        result = np.maximum(0.0, (inside / reach - chance) / (1 - chance))
    return np.where(reach > 0, result, np.nan)


class _Counts:
    """Sums over the members of nodes, from blocks of whole trees.

    Attributes:
        first: int64 (nodes,), how many neighbors are first counted at each node.
        reach: int64 (nodes,), sum of the reach of the members of each node.
    """

    def __init__(self, forest: Forest, index: np.ndarray, duplicate: np.ndarray) -> None:
        self.first = np.zeros(len(forest.height), dtype=np.int64)
        self.reach = np.zeros(len(forest.height), dtype=np.int64)
        self._forest, self._index = forest, index
        self._position = forest.start[: forest.objects]
        self._tree = np.empty(forest.objects, dtype=np.int64)
        roots = forest.roots[np.argsort(forest.start[forest.roots])]
        self._tree[:] = np.repeat(roots, forest.size[roots])
        self._lowest = _Lowest(forest)
        _, self._duplicate, count = np.unique(duplicate, return_inverse=True, return_counts=True)
        self._shared = count[self._duplicate] > 1

    def add(self, nodes: np.ndarray, start: int, end: int) -> None:
        """Add the objects at the positions from `start` to `end`, and all nodes of their trees."""
        if not len(nodes):
            return
        offset, reached, node_of = self._nodes_by_reach(nodes, start, end)
        most = int(reached.max())
        near = self._index[self._forest.order[start:end], :most]
        other = self._position[near]
        tree = self._tree
        counted = (near >= 0) & (np.arange(near.shape[1]) < reached[:, None])
        counted &= tree[start:end, None] == tree[other]
        row, rank = np.nonzero(counted)
        lowest = self._lowest(row + start, other[row, rank])
        np.add.at(self.first, np.maximum(lowest, node_of[offset[row] + rank]), 1)

    def _nodes_by_reach(
        self, nodes: np.ndarray, start: int, end: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each object, the first node in which it reaches 1, 2, ... members, and the number.

        Returns:
            The position of the first of these nodes in the last array; their number, which is the
            object's reach in its tree; the nodes of all objects.
        """
        row, position = ranges(self._forest.start[nodes], self._forest.size[nodes])
        node = nodes[row]
        reach = self._forest.size[node] - self._same(node, self._forest.order[position])
        np.add.at(self.reach, node, reach)
        order = np.argsort((position - start) * len(self.reach) + node)
        position, node, reach = position[order] - start, node[order], reach[order]
        lowest = np.diff(position, prepend=-1) > 0
        more = reach - np.where(lowest, 0, np.roll(reach, 1))
        reached = np.zeros(end - start, dtype=np.int64)
        np.maximum.at(reached, position, reach)
        return np.cumsum(reached) - reached, reached, np.repeat(node, more)

    def _same(self, node: np.ndarray, member: np.ndarray) -> np.ndarray:
        """How many members of a node are in near-duplicates of a member's photo, or in itself."""
        same = np.ones(len(node), dtype=np.int64)
        shared = np.flatnonzero(self._shared[member])
        key = node[shared] * len(self._shared) + self._duplicate[member[shared]]
        _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
        same[shared] = count[inverse]
        return same


class _Lowest:
    """The lowest node that contains two members of one tree, by their positions in the order.

    Where two objects are neighbors in the order, one node joins them. A node has a higher number
    than the nodes in it, so the lowest node of two objects is the maximum of those in between.
    """

    def __init__(self, forest: Forest) -> None:
        n = forest.objects
        between = np.zeros(n, dtype=np.int64)
        between[forest.start[forest.children[n:, 1]] - 1] = np.arange(n, len(forest.height))
        maxima = [between]  # of 1, 2, 4, ... in a row
        width = 1
        while 2 * width < forest.size.max(initial=1):
            maxima.append(np.maximum(maxima[-1], np.roll(maxima[-1], -width)))
            width *= 2
        self._maxima = np.stack(maxima)

    def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        low, high = np.minimum(one, other), np.maximum(one, other)
        power = np.frexp(high - low)[1] - 1
        return np.maximum(self._maxima[power, low], self._maxima[power, high - (1 << power)])
