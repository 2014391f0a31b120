"""Products of grid vectors: exact ones in float32, and rough ones in bfloat16 with a proven bound.

Grid vectors are integers (see `grid`). Let h be x rounded to bfloat16, which has 8
significant bits, and l = x - h; h' and l' the same of y. These are integers, and

    x . y = h . h' + h . l' + l . y
    |x . y - h . h'| <= |h| |l'| + |l| |y|    (Cauchy-Schwarz)

Units for bfloat16 multiply exactly and add in float32. Every partial sum of h . h' is an integer of
at most |h| |h'| < 2^24, so they make no error, in whatever order they add. The result is rounded
once to bfloat16, which changes it by at most 2^-8 of its value (Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, theorems 2.2 and 2.3). `Products.least` puts the two together. Both
assumptions, sums without error and one rounding, are checked before bfloat16 is used
(`_bfloat16_pays`).
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch

from repic.mining.grid import GRID, UNIT

TILE = 1024
"""Rows and columns of one product: a result of 2 to 4 MB stays in the cache."""

ROUNDOFF = 2.0**-8
"""Unit roundoff of bfloat16."""

STEP = GRID**2 / UNIT + 4
"""Two products that differ by more have different similarities, the larger product the larger one.
A ten-thousandth is 1600; float32 rounds the quotient by at most 10^4 / 2^24, twice, which is 2."""

GAIN = 1.2
"""How many times as fast bfloat16 must be to pay for the exact products of candidates."""


def _threads() -> int:
    """As OMP_NUM_THREADS says, of which the first of several numbers counts; or all cores."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if first.isdecimal() and int(first):
        return int(first)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


THREADS = _threads()
"""Results do not depend on it, unlike those of models, so mining uses all cores."""


class Products:
    """Products of n grid vectors on one device.

    Attributes:
        exact: float32 (n, d), the vectors.
        rough: bfloat16 (n, d), or `exact` where bfloat16 is not faster.
        error: float32 (n,): no exact product of a vector is further from h . h'; 0 for float32.
    """

    def __init__(self, grid: np.ndarray, device: str) -> None:
        """Args:
        grid: int16 (n, d); see `grid.on_grid`.
        """
        self.exact = self.rough = torch.from_numpy(grid).to(device).float()
        self.error = torch.zeros(len(grid), device=device)
        self._roundoff = 0.0
        if len(grid) > TILE and _bfloat16_pays(device, grid.shape[1]):
            rough, error = _split(self.exact)
            if rough is not None:
                self.rough, self.error, self._roundoff = rough, error, ROUNDOFF

    def least(self, rough: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """What the rough product of a vector must reach to be of use: float32 (rows,).

        If a row has k vectors with at least this rough product, then each vector whose similarity
        is at least that of the k-th most similar has at least the returned rough product. -inf if
        that cannot be said: a positive number is needed, since bits of floats are compared.

        Args:
            rough: float32 (rows,).
        """
        error = self.error[rows]
        kth = (rough - rough.abs() * self._roundoff - error).clamp(max=GRID**2)
        least = kth - STEP - error
        if self._roundoff:
            # Towards zero to a bfloat16, which rounding of larger products cannot pass.
            least = (least.view(torch.int32) & ~0xFFFF).view(torch.float32)
        return torch.where(least > 0, least, -torch.inf)

    def of_candidates(
        self, rows: slice, count: torch.Tensor, candidates: torch.Tensor
    ) -> torch.Tensor:
        """Exact products of some pairs, float32 (sum of `count`,).

        Args:
            rows: Rows of the grid.
            count: int (rows,), the number of candidates of each row.
            candidates: int (sum of `count`,), theirs one row after the other.
        """
        start = torch.zeros(len(count) + 1, dtype=torch.int64, device=count.device)
        torch.cumsum(count, 0, out=start[1:])
        return sampled_products(self.exact[rows], self.exact, start, candidates)


def sampled_products(
    left: torch.Tensor, right: torch.Tensor, start: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Products of row i of `left` and rows `columns[start[i]:start[i + 1]]` of `right`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        pattern = torch.sparse_csr_tensor(
            start,
            columns.to(torch.int64),
            torch.zeros(len(columns), device=left.device),
            (len(left), len(right)),
            check_invariants=False,
        )
        result: torch.Tensor = torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0)
    return result.values()


def rounded(products: torch.Tensor) -> torch.Tensor:
    """Ten-thousandths of exact products, float32 of the same shape."""
    return (products * float(np.float32(UNIT / GRID**2))).round_().clamp_(-UNIT, UNIT)


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Use all cores, and neither TF32 nor bfloat16 where float32 is asked for."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cuda = torch.backends.cuda.matmul
    reduced = cuda.allow_bf16_reduced_precision_reduction
    torch.set_num_threads(THREADS)
    torch.set_float32_matmul_precision("highest")
    cuda.allow_bf16_reduced_precision_reduction = False
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        cuda.allow_bf16_reduced_precision_reduction = reduced


def _split(exact: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
    """h in bfloat16, and the bound of |h| |l'| + |l| |y| over all y for each x.

    Squared norms are integers below 2^24, exact in float32; 1 is more than what the last three
    operations round. No h, if one is too long for exact sums.
    """
    rough = exact.bfloat16()
    norms = torch.empty(3, len(exact), device=exact.device)
    for start in range(0, len(exact), TILE):
        rows = slice(start, start + TILE)
        x, h = exact[rows], rough[rows].float()
        for norm, part in zip(norms, (x, h, x - h), strict=True):
            norm[rows] = part.square().sum(1)
    x, h, low = norms
    if h.max() >= 2**24:
        return None, x
    return rough, h.sqrt() * low.max().sqrt() + low.sqrt() * x.max().sqrt() + 1


@lru_cache
def _bfloat16_pays(device: str, dim: int) -> bool:
    """Whether products of this dimension in bfloat16 are as exact as assumed here, and faster.

    The vectors are as long as grid vectors, with large and small components, all alike in sign so
    that sums are as large as they get.
    """
    size = torch.arange(TILE * dim, device=device, dtype=torch.float32).reshape(TILE, dim) % 251
    x = (size * (GRID / size.square().sum(1, keepdim=True).sqrt())).round_().bfloat16()
    full = x.float()
    expected = torch.mm(full, full.T).bfloat16()
    if not torch.equal(torch.mm(x, x.T), expected):
        return False
    return _seconds(lambda: torch.mm(full, full.T)) > GAIN * _seconds(lambda: torch.mm(x, x.T))


def _seconds(product: Callable[[], torch.Tensor]) -> float:
    """Of the best of three, each until its result is here."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        product()[0, 0].item()
        times.append(time.perf_counter() - started)
    return min(times)
