"""Exact similarities of objects, in ten-thousandths, from vectors on the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repic.mining.grid import GRID, UNIT, on_grid

__all__ = ["GRID", "UNIT", "Neighbors", "of_pairs", "on_grid"]


BLOCK = 1 << 18
"""Components of vectors that are multiplied at once, which stay in the cache."""


@dataclass(frozen=True)
class Neighbors:
    """The most similar objects of each object, best first.

    Attributes:
        index: int32 (n, k), -1 where an object has fewer than k.
        similarity: int16 (n, k), ten-thousandths; -UNIT - 1 where index is -1.
    """

    index: np.ndarray
    similarity: np.ndarray


def of_pairs(grid: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Similarities of the given pairs, int32 ten-thousandths, in the shape of `left`.

    The vectors of some pairs at a time are put together, so that none is in memory as float32 for
    long. Fastest where `left` is sorted.
    """
    one, other = left.ravel(), right.ravel()
    result = np.empty(one.size, dtype=np.int32)
    step = max(1, BLOCK // max(1, grid.shape[1]))
    for start in range(0, one.size, step):
        part = slice(start, start + step)
        mine, theirs = (grid[rows[part]].astype(np.float32) for rows in (one, other))
        result[part] = rounded(np.einsum("ij,ij->i", mine, theirs))
    return result.reshape(left.shape)


def rounded(products: np.ndarray) -> np.ndarray:
    """Ten-thousandths of exact products, float32 of the same shape, as `products.rounded`."""
    return np.clip(np.rint(products * np.float32(UNIT / GRID**2)), -UNIT, UNIT)
