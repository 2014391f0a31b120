"""The distribution of similarities of all pairs of objects in different photos.

Up to `EXACT` objects every pair is counted. Beyond, about `PAIRS` pairs: objects are put on a ring
in random order (by a hash, so it is the same order everywhere), cut into blocks, and each block is
compared with the next few. Every object is then in equally many pairs, so the choice of objects
makes no error (the first-order term of an incomplete U-statistic vanishes in a balanced design;
Blom, "Some properties of incomplete U-statistics", 1976). What remains is the error of as many
pairs drawn at random: a standard error of at most 50 / sqrt(PAIRS) = 0.017 points. By the
inequality of Dvoretzky, Kiefer, Wolfowitz and Massart, any percentile of a collection is off by 0.1
with a probability of 2 exp(-2 PAIRS / 1000^2) < 2e-7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from repic.mining.grid import UNIT
from storage.hashing import mix

EXACT = 4096
"""Objects up to which every pair counts."""

PAIRS = 1 << 23
"""Pairs that are counted in larger collections; at least as many as those of `EXACT` objects."""

BLOCK = 128
"""Objects that are compared with the next blocks at once."""


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


def distribution(grid: np.ndarray, photo: np.ndarray, device: str = "cpu") -> Distribution:
    """Count similarities of pairs in different photos.

    Args:
        grid: int16 (n, d); see `grid.on_grid`.
        photo: int64 (n,), photo of each object.
    """
    import torch

    from repic.mining.products import exact_arithmetic, rounded

    counts = torch.zeros(2 * UNIT + 2, dtype=torch.int64, device=device)
    with exact_arithmetic():
        vectors, photos = torch.from_numpy(grid).to(device), torch.from_numpy(photo).to(device)
        for rows, columns, times in _tiles(len(grid)):
            one, other = torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
            products = torch.mm(vectors[one].float(), vectors[other].float().T)
            bins = rounded(products).to(torch.int64) + UNIT
            bins.masked_fill_(photos[one, None] == photos[other], 2 * UNIT + 1)
            counts += times * torch.bincount(bins.view(-1), minlength=len(counts))
    return Distribution(counts[:-1].cpu().numpy())


def _tiles(n: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Objects that are compared with objects, and how often a pair counts: once per direction."""
    if n <= EXACT:
        objects = np.arange(n)
        for start in range(0, n, BLOCK):
            rows = objects[start : start + BLOCK]
            yield rows, rows, 1
            yield rows, objects[start + BLOCK :], 2
        return
    blocks = n // BLOCK
    following = min(-(-PAIRS // (n * BLOCK)), (blocks - 1) // 2)
    edges = np.arange(blocks + following + 1) * n // blocks
    ring = np.argsort(mix(np.arange(n, dtype=np.uint64)))
    ring = np.concatenate([ring, ring[: edges[-1] - n]])
    for block in range(blocks):
        start, stop = edges[block : block + 2]
        yield ring[start:stop], ring[stop : edges[block + 1 + following]], 2
