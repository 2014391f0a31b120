"""Exact similarities of all pairs, in blocks: nearest neighbors and distribution.

Vectors are rounded to integer multiples of 1/4000. For unit vectors, products and sums of these are
integers below 2^24, which float32 adds without error. So similarities are the same to the bit on
every machine, with any number of threads and any block size. Rounding changes a similarity by about
1e-4, the unit to which it is rounded afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNIT = 10_000
"""Similarities are integers here: ten-thousandths, -10,000 to 10,000."""

GRID = 4000
"""Steps per unit of a vector component; (GRID + sqrt(d) / 2)^2 must stay below 2^24."""

BLOCK = 1 << 22
"""Number of similarities in memory at once, at about 20 bytes each."""


@dataclass(frozen=True)
class Neighbors:
    """The most similar objects of each object, best first.

    Attributes:
        index: int32 (n, k), -1 where an object has fewer than k.
        similarity: int32 (n, k), ten-thousandths; -UNIT - 1 where index is -1.
    """

    index: np.ndarray
    similarity: np.ndarray


@dataclass(frozen=True)
class Distribution:
    """Histogram of cross-photo similarities: int64 (20001,), ordered pairs per ten-thousandth."""

    counts: np.ndarray

    def percentile(self, similarity: np.ndarray) -> np.ndarray:
        """Percentage of cross-photo pairs below, ties counted half; float32 of the same shape.

        Args:
            similarity: Ten-thousandths, integers of any shape.
        """
        below = np.cumsum(self.counts) - self.counts / 2
        total = max(1, int(self.counts.sum()))
        return (100 * below[np.clip(similarity, -UNIT, UNIT) + UNIT] / total).astype(np.float32)


def on_grid(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors rounded to the grid: integers as float32 (n, d).

    Raises:
        ValueError: the vectors are not finite unit vectors, shape (n, d).
    """
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have shape (n, dim), not {vectors.shape}")
    exact = np.asarray(vectors, dtype=np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    if not (np.abs(length - 1) < 0.01).all():
        raise ValueError("vectors must have unit length: divide each by its norm, and drop NaN")
    return np.rint(exact * (GRID / length[:, None])).astype(np.float32)


def of_pairs(grid: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Similarities of the given pairs, int32 ten-thousandths, in the shape of `left`."""
    result = np.empty(left.shape, dtype=np.int32)
    step = max(1, BLOCK // max(1, grid.shape[1]))
    flat_left, flat_right, flat = left.ravel(), right.ravel(), result.reshape(-1)
    for start in range(0, flat_left.size, step):
        part = slice(start, start + step)
        products = np.einsum("ij,ij->i", grid[flat_left[part]], grid[flat_right[part]])
        flat[part] = _rounded(products)
    return result


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
    n = len(grid)
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
