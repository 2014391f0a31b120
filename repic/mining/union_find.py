"""Connected components of a graph by union-find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T", int, str)


def connected_components(nodes: Iterable[T], edges: Iterable[tuple[T, T]]) -> dict[T, T]:
    """The smallest node of the component of each node (with path compression).

    Args:
        nodes: Nodes to report. An edge may lead to another node, which then counts as well.
        edges: Pairs of connected nodes.

    >>> connected_components([1, 2, 3, 4], [(2, 4), (4, 3)])
    {1: 1, 2: 2, 3: 2, 4: 2}
    """
    parent: dict[T, T] = {}

    def root(node: T) -> T:
        path = []
        while (above := parent.get(node, node)) != node:
            path.append(node)
            node = above
        parent.update(dict.fromkeys(path, node))
        return node

    for one, other in edges:
        low, high = sorted((root(one), root(other)))
        if low != high:
            parent[high] = low
    return {node: root(node) for node in nodes}
