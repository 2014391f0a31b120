"""Ranges of integers and groups of objects, many in one array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def ranges(start: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The integers of several ranges, one range after the other.

    Args:
        start, count: int (n,), first integer and length of each range.

    Returns:
        Number of the range that each integer is of, and the integer; int64 (sum of counts,).

    >>> ranges(np.array([7, 0]), np.array([2, 1]))
    (array([0, 0, 1]), array([7, 8, 0]))
    """
    row = np.repeat(np.arange(len(start)), count)
    return row, np.arange(len(row)) + (start - np.cumsum(count) + count)[row]


def groups_by_size(owner: np.ndarray, block: int) -> Iterator[np.ndarray]:
    """The groups of two or more, those of equal size together: int64 (groups, size).

    Args:
        owner: int (n,), group of each object; objects of negative groups are left out.
        block: Maximum groups x size x size in one array, except where it has a single group.
    """
    members = np.argsort(owner, kind="stable")
    members = members[np.searchsorted(owner[members], 0) :]
    _, start, count = np.unique(owner[members], return_index=True, return_counts=True)
    for size in np.unique(count[count > 1]).tolist():
        starts = start[count == size]
        step = max(1, block // size**2)
        for first in range(0, len(starts), step):
            yield members[starts[first : first + step, None] + np.arange(size)]
