"""The tree of candidate groups: average linkage over mutual nearest neighbors, on arrays.

Average linkage is *reducible*: joining two clusters never makes the result more similar to a third
one than the more similar of the two was. So two clusters that are each other's best neighbor stay
so until they are joined, whatever else is joined before, and all such pairs can be joined at once
(reciprocal agglomerative clustering; Sumengen et al., "Scaling Hierarchical Agglomerative
Clustering to Billion-sized Datasets", 2021). The tree is the same as that of joining the most
similar pair again and again. For the same reason a cluster needs to look for its best neighbor
again only if that one was joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from repic.mining.links import Links, links_between

BLOCK = 1 << 21
"""Number of links that are looked at once, at about 100 bytes each."""


@dataclass(frozen=True)
class Forest:
    """Nested candidate groups. Node t < n is object t; a later node joins two earlier nodes.

    Attributes:
        children: int64 (m, 2), the two nodes that a node joins; -1 for an object.
        height: float64 (m,), mean scale between the two joined nodes, half ten-thousandths above
            the scale of the typical last neighbor; 0 for an object. It decreases from node to
            parent.
        levels: Ranges of the nodes that are not objects. The children of a node are objects, or in
            an earlier range.
    """

    children: np.ndarray
    height: np.ndarray
    levels: tuple[slice, ...]

    @property
    def objects(self) -> int:
        """Number of objects, n."""
        return self.levels[0].start if self.levels else len(self.height)

    @cached_property
    def size(self) -> np.ndarray:
        """Number of members of each node, int64 (m,)."""
        return self.summed(np.repeat([1, 0], [self.objects, len(self.height) - self.objects]))

    @cached_property
    def roots(self) -> np.ndarray:
        """Nodes that no other node joins, int64."""
        free = np.ones(len(self.height), dtype=bool)
        free[self.children[self.objects :]] = False
        return np.flatnonzero(free)

    @cached_property
    def start(self) -> np.ndarray:
        """Position of the first member of each node in `order`, int64 (m,)."""
        start = np.zeros(len(self.height), dtype=np.int64)
        size = self.size[self.roots]
        start[self.roots] = np.cumsum(size) - size
        for level in reversed(self.levels):
            left, right = self.children[level].T
            start[left] = start[level]
            start[right] = start[level] + self.size[left]
        return start

    @cached_property
    def order(self) -> np.ndarray:
        """The objects, int64 (n,), so that the members of each node are consecutive."""
        order = np.empty(self.objects, dtype=np.int64)
        order[self.start[: self.objects]] = np.arange(self.objects)
        return order

    def summed(self, values: np.ndarray) -> np.ndarray:
        """The sum of the values of each node and of all nodes in it, of the same shape."""
        total = values.copy()
        for level in self.levels:
            left, right = self.children[level].T
            total[level] = total[left] + total[right] + values[level]
        return total


def average_linkage(
    index: np.ndarray,
    scale: np.ndarray,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
    largest: int,
) -> Forest:
    """Repeatedly join the two clusters of highest mean scale.

    Among equal ones, the clusters whose largest members are smallest go first. Pairs that are not
    mutual neighbors count as the typical last neighbor, which is the zero of scale here. All values
    are integers, so sums do not depend on their order. Objects in near-duplicate photos are never
    neighbors, so their pairs are not counted.

    Args:
        index, scale: (n, k), neighbors in order of local scale, -1 where there is none. With k =
            `largest` the last neighbor is the first that cannot share a group with all before it.
        photo, duplicate: int (n,), each object's photo and that photo's near-duplicate group.
        identity: int (n,), -1 where unknown; no node contains two known identities.
        largest: Maximum members of a node.
    """
    clusters = _Clusters(links_between(index, scale, photo, duplicate), identity, largest)
    changed = np.arange(len(identity))
    while len(changed):
        clusters.find_best(changed)
        changed = clusters.join(*clusters.reciprocal(changed))
    return clusters.forest()


class _Clusters:
    """Clusters while they are joined. A cluster is named by its largest member.

    So a joined cluster never goes before its two parts where means are equal, which the joining of
    many at once rests on. (Its mean to a third one is equal to that of one part if no pair with the
    other part is counted.)
    """

    def __init__(self, links: Links, identity: np.ndarray, largest: int) -> None:
        n = len(identity)
        self._links, self._largest = links, largest
        self._identity, self._labelled = identity.copy(), bool((identity >= 0).any())
        self._size = np.ones(n, dtype=np.int64)
        self._name = np.arange(n)  # of the cluster of each object
        self._best = np.full(n, -1)
        self._mean = np.zeros(n)  # mean scale to the best neighbor
        self._node, self._level = np.arange(n), np.zeros(n, dtype=np.int64)
        self._joins: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._nodes = n

    def find_best(self, names: np.ndarray) -> None:
        """Find the best neighbor of these clusters."""
        counts = np.cumsum(self._links.count[names])
        ends = np.searchsorted(counts, np.arange(BLOCK, int(counts[-1]) + BLOCK, BLOCK), "right")
        for block in np.split(names, np.unique(ends)):
            if len(block):
                self._find_best(block)

    def _find_best(self, names: np.ndarray) -> None:
        row, other, weight, apart = self._combined(names)
        self._links.replace(names, np.bincount(row, minlength=len(names)), other, weight, apart)
        pairs = self._size[names[row]] * self._size[other] - apart
        mean = weight / np.maximum(1, pairs)
        highest = np.zeros(len(names))
        np.maximum.at(highest, row, mean)
        best = np.flatnonzero((mean == highest[row]) & (mean > 0))
        best = best[np.flatnonzero(np.diff(row[best], prepend=-1))]
        self._best[names] = -1
        self._best[names[row[best]]] = other[best]
        self._mean[names] = highest

    def _combined(self, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Links of clusters to all that they may still be joined with, one for each two clusters.

        Returns:
            Index into `names`, name of the other cluster, sum of scales, and number of pairs that
            are not counted; sorted by the first two.
        """
        row, entry = self._links.of(names)
        own, other = names[row], self._name[self._links.other[entry]]
        allowed = (own != other) & (self._size[own] + self._size[other] <= self._largest)
        if self._labelled:
            one, two = self._identity[own], self._identity[other]
            allowed &= (one < 0) | (two < 0) | (one == two)
        row, other, entry = row[allowed], other[allowed], entry[allowed]
        key = row * len(self._name) + other
        if (key[1:] > key[:-1]).all():
            return row, other, self._links.weight[entry], self._links.apart[entry]
        order = np.argsort(key)
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        entry = entry[order]
        weight = np.add.reduceat(self._links.weight[entry], first)
        apart = np.add.reduceat(self._links.apart[entry], first)
        return row[order[first]], other[order[first]], weight, apart

    def reciprocal(self, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of clusters that are each other's best neighbor, larger name first."""
        best = self._best[names]
        both = (best >= 0) & (self._best[best] == names)
        one, other = names[both], best[both]
        left, at = np.unique(np.maximum(one, other), return_index=True)
        return left, np.minimum(one, other)[at]

    def join(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Join pairs of clusters; the names of all that must find their best neighbor again."""
        if not len(left):
            return left
        self._level[left] = np.maximum(self._level[left], self._level[right]) + 1
        both = self._node[left], self._node[right]
        self._joins.append((*both, self._mean[left], self._level[left]))
        self._node[left] = self._nodes + np.arange(len(left))
        self._nodes += len(left)
        self._size[left] += self._size[right]
        self._identity[left] = np.maximum(self._identity[left], self._identity[right])
        self._name[right] = left
        self._name = self._name[self._name]
        self._links.join(left, right)
        self._best[right] = -1
        joined = np.zeros(len(self._name) + 1, dtype=bool)  # the last one is for -1
        joined[left] = joined[right] = True
        return np.flatnonzero(joined[self._best])

    def forest(self) -> Forest:
        """The tree, with its nodes in order of their level."""
        n = len(self._name)
        none = np.empty(0, dtype=np.int64)
        columns = zip(*self._joins, strict=True) if self._joins else [[none]] * 4
        left, right, height, level = (np.concatenate(list(column)) for column in columns)
        order = np.argsort(level, kind="stable")
        number = np.arange(n + len(order))
        number[n + order] = np.arange(n, n + len(order))
        children = number[np.stack([left, right], 1)][order]
        ends = n + np.cumsum(np.bincount(level)[1:]) if len(order) else none
        return Forest(
            np.concatenate([np.full((n, 2), -1), children]),
            np.concatenate([np.zeros(n), height[order]]),
            tuple(map(slice, [n, *ends[:-1].tolist()], ends.tolist())),
        )
