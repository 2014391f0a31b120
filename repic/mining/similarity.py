"""Exact similarities of objects, in ten-thousandths, from vectors on the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repic.mining.grid import GRID, UNIT, on_grid

__all__ = ["GRID", "UNIT", "Neighbors", "of_pairs", "on_grid"]


@dataclass(frozen=True)
class Neighbors:
    """The most similar objects of each object, best first.

    Attributes:
        index: int32 (n, k), -1 where an object has fewer than k.
        similarity: int32 (n, k), ten-thousandths; -UNIT - 1 where index is -1.
    """

    index: np.ndarray
    similarity: np.ndarray


def of_pairs(grid: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Similarities of the given pairs, int32 ten-thousandths, in the shape of `left`.

    At most n^2 pairs of n objects. Fastest where `left` is sorted.
    """
    import torch

    from repic.mining import products

    one, other = left.ravel(), right.ravel()
    order = None if (one[1:] >= one[:-1]).all() else np.argsort(one, kind="stable")
    if order is not None:
        one, other = one[order], other[order]
    start = np.searchsorted(one, np.arange(len(grid) + 1))
    with products.exact_arithmetic():
        vectors = torch.from_numpy(grid)
        found = products.sampled_products(
            vectors, vectors, torch.from_numpy(start), torch.from_numpy(other)
        )
        alike = products.rounded(found).to(torch.int32).numpy()
    result = np.empty(left.size, dtype=np.int32)
    result[slice(None) if order is None else order] = alike
    return result.reshape(left.shape)
