"""Connected components of a graph by union-find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

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


def connected(component: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Components of n nodes after connecting pairs of these; each is called by its smallest node.

    Args:
        component: int (n,), the component of each node before, `arange(n)` at first.
        left, right: int (pairs,), nodes.
    """
    while True:
        left, right = component[left], component[right]
        apart = left != right
        if not apart.any():
            return component
        left, right = left[apart], right[apart]
        component = component.copy()
        np.minimum.at(component, np.maximum(left, right), np.minimum(left, right))
        while (component != (above := component[component])).any():
            component = above
