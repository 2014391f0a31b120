"""Bootstrap intervals and a paired permutation test, both clustered by photo.

Captions of one photo are not independent, so a photo is resampled or swapped with all of its
captions (Efron and Tibshirani 1993, ch. 8; Good 2005, ch. 3). Every quantity is a function of sums
over photos, mostly a ratio of two, so all resamples are one matrix product.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Interval = tuple[float | None, float | None]
Statistic = Callable[[Array], Array]
"""Sums (..., 2 * width), first the numerators -> quantities (..., q); NaN where undefined."""

RESAMPLES = 10_000
LEVEL = 0.95
MAX_GROUPS = 2_000
"""More photos than this are summed into this many random groups, which are resampled instead. The
variance estimate stays unbiased (Wolter 2007, ch. 2) and the run time bounded."""

FEW = 10
"""Below this number of photos a bootstrap interval is known to be too narrow."""

_BLOCK = 500
_EXACT = 12


@dataclass(frozen=True)
class Estimate:
    """A measured value with its confidence interval.

    Attributes:
        value: None if nothing could be measured.
        low, high: 95 % bootstrap interval, clustered by photo; None with fewer than two photos.
        n: Number of `unit`s that the value is a mean over.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str

    def as_json(self) -> dict[str, Any]:
        interval = None if self.low is None else [self.low, self.high]
        return {"value": self.value, "interval": interval, "n": self.n, "unit": self.unit}


@dataclass(frozen=True)
class Difference:
    """Model B minus model A on the same photos.

    Attributes:
        low, high: Bootstrap interval of the difference; photos are drawn in pairs.
        p: Two-sided p-value of the permutation test. Null hypothesis: the captions of a photo can
            be exchanged between the two models.
        n: Number of captions or questions per model.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int

    def as_json(self) -> dict[str, Any]:
        interval = None if self.low is None else [self.low, self.high]
        return {"value": self.value, "interval": interval, "p": self.p, "n": self.n}


def ratios(sums: Array) -> Array:
    """The default statistic: each numerator over its denominator."""
    width = sums.shape[-1] // 2
    top, bottom = sums[..., :width], sums[..., width:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(bottom) > 1e-9, top / bottom, np.nan)


@dataclass(frozen=True)
class PhotoSums:
    """Sums per photo, and the quantities that follow from them.

    Attributes:
        photos: Photo ids, sorted, so that the order of rows does not matter.
        top: Numerators, shape (photos, width).
        bottom: Denominators, same shape.
        rows: Number of captions.
        statistic: The quantities; by default the ratios.
    """

    photos: list[str]
    top: Array
    bottom: Array
    rows: int
    statistic: Statistic = ratios

    @property
    def parts(self) -> Array:
        """Numerators and denominators side by side."""
        return np.hstack([self.top, self.bottom])

    @property
    def values(self) -> list[float | None]:
        """The quantities; None where the denominator is 0."""
        return [_number(float(v)) for v in self.statistic(self.parts.sum(axis=0))]

    @property
    def units(self) -> list[int]:
        """Sum of the denominators of each quantity."""
        return [int(n) for n in self.bottom.sum(axis=0)]

    @property
    def intervals(self) -> list[Interval]:
        """Bootstrap interval of each quantity; (None, None) with fewer than two photos."""
        if len(self.photos) > 1:
            return bootstrap_intervals(self)
        return [(None, None)] * len(self.values)

    def estimates(
        self, units: Sequence[str], counts: Sequence[int] | None = None
    ) -> list[Estimate]:
        """The quantities with intervals.

        Args:
            units: What each quantity is a mean over.
            counts: How many of them there are; by default the denominators of the ratios.
        """
        columns = zip(self.values, self.intervals, counts or self.units, units, strict=True)
        return [Estimate(value, low, high, n, unit) for value, (low, high), n, unit in columns]


def sum_by_photo(
    rows: Iterable[tuple[str, Sequence[float], Sequence[float]]],
    width: int,
    statistic: Statistic = ratios,
) -> PhotoSums:
    """Sum `(photo, numerators, denominators)` by photo; memory grows with the photos only.

    Args:
        width: Number of numerators, and of denominators.
    """
    index: dict[str, int] = {}
    values = array("d")
    count = 0
    blank = array("d", bytes(8 * 2 * width))
    for photo, top, bottom in rows:
        position = index.setdefault(photo, len(index))
        if 2 * width * position == len(values):
            values.extend(blank)
        start = 2 * width * position
        for k in range(width):
            values[start + k] += top[k]
            values[start + width + k] += bottom[k]
        count += 1
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, 2 * width)
    photos = sorted(index)
    table = table[[index[photo] for photo in photos]]
    return PhotoSums(photos, table[:, :width], table[:, width:], count, statistic)


def bootstrap_intervals(
    sums: PhotoSums, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Percentile interval of each quantity.

    If all photos agree, the interval has zero width; it then says nothing about unlike photos.
    """
    rng = np.random.default_rng(seed)
    return _percentiles(_resampled(_grouped(sums.parts, rng), resamples, rng, sums.statistic))


def paired_test(
    first: PhotoSums, second: PhotoSums, resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """`second` minus `first`, per quantity.

    With at most 12 photos all swaps are enumerated, otherwise `resamples` random ones are drawn.
    Random swaps include the observed one (Phipson and Smyth 2010), so that p is never 0.

    Raises:
        ValueError: The two sides hold different photos.
    """
    if first.photos != second.photos:
        raise ValueError("a paired comparison needs the same photos on both sides")
    rng = np.random.default_rng(seed)
    parts = _grouped(np.hstack([first.parts, second.parts]), rng)
    half = parts.shape[1] // 2
    statistic = first.statistic

    def difference(sums: Array) -> Array:
        return statistic(sums[..., half:]) - statistic(sums[..., :half])

    observed = difference(parts.sum(axis=0))
    bounds = _percentiles(_resampled(parts, resamples, rng, difference))
    p = _p_values(parts[:, :half], parts[:, half:], statistic, observed, resamples, rng)
    return [
        Difference(_number(float(v)), low, high, _number(float(q)), first.rows)
        for v, (low, high), q in zip(observed, bounds, p, strict=True)
    ]


def _grouped(parts: Array, rng: np.random.Generator) -> Array:
    """The rows, or their sums over `MAX_GROUPS` random groups of equal size."""
    if len(parts) <= MAX_GROUPS:
        return parts
    groups = rng.permutation(len(parts)) % MAX_GROUPS
    sums = np.zeros((MAX_GROUPS, parts.shape[1]))
    np.add.at(sums, groups, parts)
    return sums


def _resampled(
    parts: Array, resamples: int, rng: np.random.Generator, statistic: Statistic
) -> Array:
    """The quantities of each resample: (resamples, quantities)."""
    count = len(parts)
    blocks = []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, count, (size, count), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        blocks.append(statistic(times.astype(np.float64) @ parts))
    return np.concatenate(blocks)


def _p_values(
    a: Array,
    b: Array,
    statistic: Statistic,
    observed: Array,
    resamples: int,
    rng: np.random.Generator,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    count = len(a)
    if count <= _EXACT:
        swaps = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        swaps = rng.integers(0, 2, (resamples, count), dtype=np.int8)
    extreme = np.zeros(len(observed))
    for start in range(0, len(swaps), _BLOCK):
        moved = swaps[start : start + _BLOCK].astype(np.float64) @ (b - a)
        values = statistic(b.sum(axis=0) - moved) - statistic(a.sum(axis=0) + moved)
        # A swap that leaves a side without anything to measure speaks against no null hypothesis.
        extreme += (np.isnan(values) | (np.abs(values) >= np.abs(observed) - 1e-12)).sum(axis=0)
    p = extreme / len(swaps) if count <= _EXACT else (extreme + 1) / (len(swaps) + 1)
    return np.where(np.isnan(observed), np.nan, p)


def _percentiles(drawn: Array) -> list[Interval]:
    tails = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    bounds = []
    for values in drawn.T:
        valid = values[~np.isnan(values)]
        low, high = np.percentile(valid, tails) if len(valid) else (np.nan, np.nan)
        bounds.append((_number(low), _number(high)))
    return bounds


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
