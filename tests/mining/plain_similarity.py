"""Neighbors and distribution as they are defined: the reference for `repic.mining.search`."""

from __future__ import annotations

import numpy as np

from repic.mining.distribution import Distribution
from repic.mining.similarity import GRID, UNIT, Neighbors

BLOCK = 1 << 22


def scan(
    grid: np.ndarray, photo: np.ndarray, duplicate: np.ndarray, k: int
) -> tuple[Neighbors, Distribution]:
    """Nearest neighbors in photos that are not near-duplicates, and the distribution.

    Ties go to the smaller index. One pass over all n^2 similarities, O(n k) memory.

    Args:
        grid: Result of `on_grid`.
        photo: int (n,), photo of each object.
        duplicate: int (n,), near-duplicate group of each object's photo.
        k: Maximum neighbors per object.
    """
    n, grid = len(grid), grid.astype(np.float32)
    k = min(k, max(0, n - 1))
    index = np.full((n, k), -1, dtype=np.int32)
    similarity = np.full((n, k), -UNIT - 1, dtype=np.int32)
    counts = np.zeros(2 * UNIT + 2, dtype=np.int64)
    tie_breakers = np.arange(n - 1, -1, -1, dtype=np.int64)
    rows = max(1, BLOCK // max(1, n))
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        block = _rounded(grid[part] @ grid.T)
        # Pairs to the right of the diagonal block count for their mirror images as well.
        bins = np.where(photo[part, None] == photo[None, start:], UNIT + 1, block[:, start:]) + UNIT
        counts += np.bincount(bins[:, :rows].ravel(), minlength=len(counts))
        counts += 2 * np.bincount(bins[:, rows:].ravel(), minlength=len(counts))
        if k == 0:
            continue
        block[duplicate[part, None] == duplicate[None, :]] = -UNIT - 1
        keys = (block.astype(np.int64) << 32) + tie_breakers
        keys.partition(n - k, axis=1)
        best = -np.sort(-keys[:, n - k :], axis=1)
        similarity[part] = best >> 32
        index[part] = n - 1 - (best & 0xFFFFFFFF)
    index[similarity < -UNIT] = -1
    return Neighbors(index, similarity), Distribution(counts[:-1])


def _rounded(products: np.ndarray) -> np.ndarray:
    """Ten-thousandths of the integer dot products of grid vectors."""
    scaled = np.rint(products * np.float32(UNIT / GRID**2))
    return np.clip(scaled, -UNIT, UNIT).astype(np.int32)
