"""Vectors on a grid, whose products make no error.

Vectors are rounded to integer multiples of 1/4000. For unit vectors, products and sums of these are
integers below 2^24, which float32 adds without error. So similarities are the same to the bit on
every machine, with any number of threads and any block size. Rounding changes a similarity by about
1e-4, the unit to which it is rounded afterwards.
"""

from __future__ import annotations

import numpy as np

UNIT = 10_000
"""Similarities are integers here: ten-thousandths, -10,000 to 10,000."""

GRID = 4000
"""Steps per unit of a vector component; (GRID + sqrt(d) / 2)^2 must stay below 2^24."""

BLOCK = 1 << 20
"""Components of vectors in memory in float64 at once."""


def on_grid(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors rounded to the grid: integers as int16 (n, d).

    A product takes them as float32, some at a time.

    Raises:
        ValueError: the vectors are not finite unit vectors, shape (n, d).
    """
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have shape (n, dim), not {vectors.shape}")
    grid = np.empty(vectors.shape, dtype=np.int16)
    step = max(1, BLOCK // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        exact = np.asarray(vectors[start : start + step], dtype=np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", exact, exact))
        if not (np.abs(length - 1) < 0.01).all():
            raise ValueError("vectors must have unit length: divide each by its norm, and drop NaN")
        grid[start : start + step] = np.rint(exact * (GRID / length[:, None]))
    return grid
