"""The k most similar objects of each object, exactly, from rough products.

1. *Thresholds.* The products with a random sample of the objects say, for each object, which
   product about k others are likely to reach.
2. *Sweep.* Products of all pairs, tile by tile, each for both of its directions; those that reach
   the threshold of their row are candidates, a few per neighbor.
3. *Selection.* The k best candidates bound the k-th best similarity from below. If no object below
   the threshold can reach it, the candidates that can are compared exactly.
4. Objects for which that fails (an unlucky sample, many ties, products near zero) are compared with
   all others, exactly.

So chance decides the time and not the result: similarities in ten-thousandths of exact products,
ties to the smaller index.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from repic.mining.grid import UNIT
from repic.mining.products import TILE, Products, exact_arithmetic, rounded
from repic.mining.similarity import Neighbors
from storage.hashing import mix

SAMPLE = (2048, 8192)
"""Objects that thresholds are estimated from: one in 16, at least and at most this many."""

PLAIN = 24
"""Neighbors are a larger share than one in this many of all objects: compare exactly at once."""

TIES = 4
"""A threshold that this many times the expected number of objects reaches is of no use."""

BLOCK = 1 << 22
"""Similarities in memory at once where objects are compared with all others, and keys of results
that are unpacked at once."""

_INDEX = 1 << 32
"""Keys are similarity * _INDEX - index, so the largest key has the smallest index of a tie."""

Hits = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Row within its strip, object and rough product of candidates."""


def nearest(grid: np.ndarray, duplicate: np.ndarray, k: int, device: str = "cpu") -> Neighbors:
    """The k most similar objects of each object whose photos are not near-duplicates.

    Memory in addition to the vectors: a copy in float32, one in bfloat16, and 6 k bytes and a few
    KB per object for its candidates.

    Args:
        grid: int16 (n, d); see `grid.on_grid`.
        duplicate: int64 (n,), near-duplicate group of each object's photo.
        k: Most neighbors of an object, below n.
    """
    order = np.argsort(duplicate, kind="stable")
    with exact_arithmetic():
        search = TopK(Products(grid[order], device), duplicate[order], order, k)
        index, similarity = search.of_first(len(grid))
    del search  # and its copies of the vectors
    back = np.argsort(order)
    index = index[back]
    return Neighbors(index, similarity[back])


def of_rows(
    rows: np.ndarray, grid: np.ndarray, duplicate: np.ndarray, k: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`, of some objects: index and similarity, int32 and int16 (rows, k).

    Args:
        rows: bool (n,), the objects.
    """
    parts = (np.flatnonzero(rows), np.flatnonzero(~rows))
    order = np.concatenate([part[np.argsort(duplicate[part], kind="stable")] for part in parts])
    count = len(parts[0])
    with exact_arithmetic():
        products = Products(grid[order], device)
        found = TopK(products, duplicate[order], order, k).of_first(count)
    back = np.argsort(order[:count])
    return found[0][back], found[1][back]


class TopK:
    """A search among n objects, in any order.

    Args:
        products: Of the n vectors.
        duplicate: int64 (n,), near-duplicate group; objects of one group are not neighbors. Faster
            if equal ones are next to each other.
        name: int64 (n,), the index by which ties are decided, and which is returned.
        k: Number of neighbors, at most n.
    """

    def __init__(self, products: Products, duplicate: np.ndarray, name: np.ndarray, k: int) -> None:
        self.products, self.k = products, k
        device = products.exact.device
        self._duplicate = torch.from_numpy(duplicate).to(device)
        self._name = torch.from_numpy(name).to(device)
        n = len(name)
        size = min(n, max(SAMPLE[0], min(n // 16, SAMPLE[1])))
        chosen = np.sort(np.argsort(mix(np.arange(n, dtype=np.uint64)))[:size])
        self._sample = torch.from_numpy(chosen).to(device)
        expected = k * size / max(1, n)
        self._rank = math.ceil(expected + 3 * math.sqrt(expected) + 2)
        self._buffer = torch.empty(TILE * TILE, dtype=products.rough.dtype, device=device)

    def of_first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Neighbors of the first `count` objects: names int32 and ten-thousandths int16 (count, k).

        Best first; -1 and -UNIT - 1 where there are fewer than k.
        """
        device = self._name.device
        best = torch.empty((count, self.k), dtype=torch.int64, device=device)
        if self.k * PLAIN > len(self._name) or self._rank > len(self._sample):
            self._compare_all(torch.arange(count, device=device), best)
        else:
            self._sweep(count, best)
        return unpacked(best)

    def _sweep(self, count: int, best: torch.Tensor) -> None:
        rows, others = _strips(0, count), _strips(count, len(self._name))
        spans = [self._span(strip) for strip in rows + others]
        sample = self.products.rough[self._sample]
        threshold = torch.cat([self._threshold(strip, sample) for strip in rows])
        waiting: list[list[Hits]] = [[] for _ in rows]
        failed = []
        for i, strip in enumerate(rows):
            for j, columns in enumerate((rows + others)[i:], i):
                tile = self.tile(strip, columns)
                if spans[i][0] <= spans[j][1] and spans[j][0] <= spans[i][1]:
                    self._exclude(tile, strip, self._duplicate[columns])
                row, column, value = _hits(tile, threshold[strip, None])
                waiting[i].append((row, column + columns.start, value))
                if i < j < len(rows):
                    row, column, value = _hits(tile, threshold[None, columns])
                    waiting[j].append((column, row + strip.start, value))
            failed.append(self._select(strip, waiting[i], threshold[strip], best))
            waiting[i] = []
        self._compare_all(torch.cat(failed), best)

    def _span(self, strip: slice) -> tuple[int, int]:
        part = self._duplicate[strip]
        return int(part.min()), int(part.max())

    def tile(self, rows: slice, columns: slice) -> torch.Tensor:
        """Rough products of at most TILE rows and columns; the next call overwrites them."""
        left, right = self.products.rough[rows], self.products.rough[columns]
        tile = self._buffer[: len(left) * len(right)].view(len(left), len(right))
        return torch.mm(left, right.T, out=tile)

    def _exclude(self, tile: torch.Tensor, rows: slice, theirs: torch.Tensor) -> None:
        tile.masked_fill_(self._duplicate[rows, None] == theirs, -torch.inf)

    def _threshold(self, rows: slice, sample: torch.Tensor) -> torch.Tensor:
        """Rough products from which objects are candidates, float32 (rows,); inf for no use."""
        products = torch.mm(self.products.rough[rows], sample.T)
        self._exclude(products, rows, self._duplicate[self._sample])
        expected = products.topk(self._rank).values[:, -1].float()
        least = self.products.least(expected, rows)
        reached = (products >= least[:, None]).sum(1)
        return torch.where((least > 0) & (reached <= TIES * self._rank), least, torch.inf)

    def _select(
        self, strip: slice, hits: list[Hits], threshold: torch.Tensor, best: torch.Tensor
    ) -> torch.Tensor:
        """Write the keys of the best candidates; return the rows without a certain result."""
        row, other, value = (torch.cat(parts) for parts in zip(*hits, strict=True))
        row, order = row.sort(stable=True)
        other, value = other[order], value[order]
        kth = _table(row, value, len(threshold), self.k, -torch.inf).topk(self.k).values[:, -1]
        least = self.products.least(kth, strip)
        certain = (least >= threshold) & (threshold < torch.inf)
        kept = (value >= least[row]) & certain[row]
        row, other, value = row[kept], other[kept], value[kept]
        if self.products.rough is not self.products.exact:
            value = self.products.of_candidates(
                strip, torch.bincount(row, minlength=len(threshold)), other
            )
        key = rounded(value).to(torch.int64) * _INDEX - self._name[other]
        found = _table(row, key, len(threshold), self.k, -UNIT * _INDEX * 2).topk(self.k).values
        best[strip][certain] = found[certain]
        return torch.nonzero(~certain)[:, 0] + strip.start

    def _compare_all(self, rows: torch.Tensor, best: torch.Tensor) -> None:
        """Write the best keys of some rows, by exact products with all objects."""
        exact = self.products.exact
        for some in rows.split(max(1, BLOCK // max(1, len(self._name)))):
            keys = exact_keys(
                exact[some], exact, self._duplicate[some], self._duplicate, self._name
            )
            best[some] = keys.topk(self.k).values


def exact_keys(
    left: torch.Tensor,
    right: torch.Tensor,
    left_duplicate: torch.Tensor,
    right_duplicate: torch.Tensor,
    name: torch.Tensor,
) -> torch.Tensor:
    """Keys of all pairs of two sets of vectors, int64 (rows of `left`, rows of `right`).

    The larger the key, the nearer the neighbor; see `unpacked`.

    Args:
        name: int64, of the vectors of `right`, below 2^31.
    """
    keys = rounded(torch.mm(left, right.T)).to(torch.int64) * _INDEX - name
    return keys.masked_fill_(left_duplicate[:, None] == right_duplicate, (-UNIT - 1) * _INDEX)


def unpacked(keys: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Names int32 and ten-thousandths int16; -1 and -UNIT - 1 of pairs that are no neighbors."""
    names, similarities = np.empty(keys.shape, np.int32), np.empty(keys.shape, np.int16)
    step = max(1, BLOCK // max(1, keys.shape[1]))
    for start in range(0, len(keys), step):
        some = keys[start : start + step]
        similarity = (some + (_INDEX - 1)) >> 32
        name = torch.where(similarity < -UNIT, -1, similarity * _INDEX - some)
        names[start : start + step] = name.to(torch.int32).cpu().numpy()
        similarities[start : start + step] = similarity.to(torch.int16).cpu().numpy()
    return names, similarities


def packed(name: np.ndarray, similarity: np.ndarray, device: str) -> torch.Tensor:
    """The keys that `unpacked` takes apart, int64."""
    keys = torch.from_numpy(similarity).to(device, torch.int64) * _INDEX
    return keys - torch.from_numpy(np.maximum(name, 0)).to(device)


def _strips(start: int, stop: int) -> list[slice]:
    return [slice(a, min(stop, a + TILE)) for a in range(start, stop, TILE)]


def _hits(tile: torch.Tensor, least: torch.Tensor) -> Hits:
    """Row, column and product where a tile reaches positive values of rows or of columns."""
    flat = _at_least(tile, least.to(tile.dtype))
    row = flat // tile.shape[1]
    return row, flat - row * tile.shape[1], tile.view(-1)[flat].float()


def _at_least(tile: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    if tile.is_cuda:
        return torch.nonzero((tile >= least).view(-1))[:, 0].to(torch.int32)
    if tile.dtype == torch.bfloat16:
        # Positive floats are in the order of their bits, and negative ones are negative integers.
        # NumPy compares these ten times as fast as torch compares bfloat16.
        tile, least = tile.view(torch.int16), least.view(torch.int16)
    flat = np.flatnonzero(tile.numpy() >= least.numpy())
    return torch.from_numpy(flat.astype(np.int32))


def _table(
    row: torch.Tensor, value: torch.Tensor, rows: int, least_width: int, empty: float
) -> torch.Tensor:
    """Values side by side in their rows, (rows, >= `least_width`); `row` is sorted."""
    count = torch.bincount(row, minlength=rows)
    width = max(least_width, int(count.max()))
    table = torch.full((rows, width), empty, dtype=value.dtype, device=value.device)
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    table[row.to(torch.int64), place] = value
    return table
