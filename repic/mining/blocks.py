"""Neighbors in collections too large to compare all pairs: within blocks of similar objects.

k-means makes the blocks, on the grid and in integers, so that they are the same on every machine.
The objects of a block are compared with those of the nearest blocks, exactly (`search`). How many
of the true neighbors that finds is measured on a sample.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from repic.mining.grid import UNIT
from repic.mining.products import Products, exact_arithmetic
from repic.mining.search import TopK, exact_keys, unpacked
from repic.mining.similarity import Neighbors
from storage.hashing import mix

SIZE = 1000
"""Mean number of objects of a block."""

COMPARED = 24_000
"""Objects with which those of a block are compared, at least: those of the nearest blocks."""

TRAINED_ON = 64
"""Objects per block that k-means looks at."""

ROUNDS = 8
"""Rounds of k-means; more change little."""

QUERIES = 512
"""Objects whose neighbors are searched among all, to measure recall."""

PART = 4096
"""Objects in memory at once besides."""

_log = logging.getLogger(__name__)


def nearest(
    grid: np.ndarray, duplicate: np.ndarray, k: int, device: str = "cpu"
) -> tuple[Neighbors, float]:
    """Most of the k most similar objects of each object, and the share that was found.

    Args:
        grid: int16 (n, d); see `grid.on_grid`.
        duplicate: int64 (n,), near-duplicate group of each object's photo.
        k: Most neighbors of an object.
    """
    n = len(grid)
    near = Neighbors(
        np.full((n, k), -1, dtype=np.int32), np.full((n, k), -UNIT - 1, dtype=np.int16)
    )
    with exact_arithmetic():
        centers = _centers(grid, -(-n // SIZE), device)
        block = _nearest_centers(grid, centers, device)
        size = np.bincount(block, minlength=len(centers))
        members = np.split(np.lexsort((duplicate, block)), np.cumsum(size)[:-1])
        for own, others in enumerate(_near_blocks(centers, size)):
            if not size[own]:  # its center equals another, as where many vectors are equal
                continue
            order = np.concatenate([members[own], *(members[other] for other in others)])
            products = Products(grid[order], device)
            search = TopK(products, duplicate[order], order, min(k, len(order)))
            index, similarity = search.of_first(size[own])
            near.index[members[own], : search.k] = index
            near.similarity[members[own], : search.k] = similarity
        recall = _recall(near, grid, duplicate, device)
    _log.info(
        "%s objects are too many to compare all pairs (mining.exact_up_to): neighbors are searched "
        "within %s of %s blocks of similar objects, which finds %.1f %% of the nearest %s",
        *(f"{n:,}", f"{COMPARED / n:.0%}", len(centers), 100 * recall, k),
    )
    return near, recall


def _parts(grid: np.ndarray, device: str) -> Iterator[torch.Tensor]:
    for start in range(0, len(grid), PART):
        yield torch.from_numpy(grid[start : start + PART]).to(device).float()


def _centers(grid: np.ndarray, count: int, device: str) -> torch.Tensor:
    """Centers of k-means: means rounded to the grid, float32 (count, d)."""
    order = np.argsort(mix(np.arange(len(grid), dtype=np.uint64)))
    chosen = grid[np.sort(order[: count * TRAINED_ON])]
    centers = torch.from_numpy(grid[np.sort(order[:count])]).to(device).float()
    for _ in range(ROUNDS):
        total = torch.zeros(centers.shape, dtype=torch.float64, device=device)
        size = torch.zeros(count, dtype=torch.int64, device=device)
        for vectors in _parts(chosen, device):
            block = _nearest_center(vectors, centers)
            total.index_add_(0, block, vectors.double())
            size += torch.bincount(block, minlength=count)
        used = size > 0
        centers[used] = (total[used] / size[used, None]).round_().float()
    return centers


def _nearest_centers(grid: np.ndarray, centers: torch.Tensor, device: str) -> np.ndarray:
    """int64 (n,)."""
    block = np.empty(len(grid), dtype=np.int64)
    for number, vectors in enumerate(_parts(grid, device)):
        # Not a small result per part, which would stay in the middle of memory that is free.
        found = _nearest_center(vectors, centers).cpu().numpy()
        block[number * PART : number * PART + len(vectors)] = found
    return block


def _nearest_center(vectors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """int64 (vectors,); ties go to the smaller number."""
    nearness = _nearness(vectors, centers) * len(centers)
    return (nearness - torch.arange(len(centers), device=centers.device)).argmax(1)


def _nearness(vectors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """2 v . c - c . c, int64 (vectors, centers): largest where the distance is smallest."""
    return (2 * torch.mm(vectors, centers.T) - centers.square().sum(1)).to(torch.int64)


def _near_blocks(centers: torch.Tensor, size: np.ndarray) -> Iterator[np.ndarray]:
    """For each block, the nearest other blocks that together have enough objects."""
    for own in range(len(centers)):
        nearness = _nearness(centers[own, None], centers)[0].cpu().numpy()
        nearness[own] = np.iinfo(np.int64).max
        order = np.argsort(nearness, kind="stable")[::-1]
        enough = int(np.searchsorted(np.cumsum(size[order]), COMPARED))
        yield order[1 : enough + 1]


def _recall(near: Neighbors, grid: np.ndarray, duplicate: np.ndarray, device: str) -> float:
    """Share of the exact neighbors of a few objects that were found."""
    n, k = near.index.shape
    queries = np.sort(np.argsort(mix(np.arange(n, dtype=np.uint64)))[:QUERIES])
    vectors, own = torch.from_numpy(grid[queries]), torch.from_numpy(duplicate[queries])
    vectors, own = vectors.to(device).float(), own.to(device)
    best = torch.empty((len(queries), 0), dtype=torch.int64, device=device)
    for number, part in enumerate(_parts(grid, device)):
        names = torch.arange(number * PART, number * PART + len(part), device=device)
        theirs = torch.from_numpy(duplicate[number * PART :][: len(part)]).to(device)
        keys = torch.cat([best, exact_keys(vectors, part, own, theirs, names)], 1)
        best = keys.topk(min(k, keys.shape[1])).values
    true, _ = unpacked(best)
    found = sum(
        int(np.isin(one[one >= 0], other).sum())
        for one, other in zip(true, near.index[queries], strict=True)
    )
    return found / max(1, int((true >= 0).sum()))
