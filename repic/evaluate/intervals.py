"""How sure a number is: bootstrap intervals and a paired test, both clustered by photo.

Captions of one photo are not independent: a photo with ten captions is drawn, or swapped, as one
(Efron and Tibshirani 1993, ch. 8; Good 2005, ch. 3). All quantities are ratios of two sums, so that
a resample is a matrix product of how often each photo was drawn and what each photo adds.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray[tuple[int, int], np.dtype[np.float64]]

RESAMPLES = 10_000
LEVEL = 0.95
MAX_GROUPS = 2_000
"""Above so many photos they are put into as many random groups, which are then resampled: the
variance of a mean is estimated without bias so (Wolter 2007, ch. 2), and time stays bounded."""

FEW = 10
"""Photos below which a bootstrap interval is known to be too narrow."""

_BLOCK = 500
_EXACT = 12


@dataclass(frozen=True)
class Sums:
    """What each photo adds to each quantity.

    Attributes:
        photos: Their names, sorted, so that the order of rows does not matter.
        top: Numerators of shape (photos, quantities).
        bottom: Denominators of that shape.
        rows: How many captions there are.
    """

    photos: list[str]
    top: Array
    bottom: Array
    rows: int

    @property
    def ratios(self) -> list[float | None]:
        """The quantities; None where the denominator is 0."""
        return [_number(float(v)) for v in _ratio(self.top.sum(axis=0), self.bottom.sum(axis=0))]


@dataclass(frozen=True)
class Difference:
    """B minus A on the same photos.

    Attributes:
        low, high: Bootstrap interval of the difference, photos drawn in pairs.
        p: Two-sided p-value of the permutation test: under the null hypothesis it does not matter
            which of the two models wrote the captions of a photo.
        n: How many questions both have answered.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


def gather(rows: Iterable[tuple[str, Sequence[float], Sequence[float]]], width: int) -> Sums:
    """Sum `(photo, numerators, denominators)` by photo; memory grows with the photos alone."""
    places: dict[str, int] = {}
    values = array("d")
    count = 0
    blank = array("d", bytes(8 * 2 * width))
    for photo, top, bottom in rows:
        place = places.setdefault(photo, len(places))
        if 2 * width * place == len(values):
            values.extend(blank)
        start = 2 * width * place
        for k in range(width):
            values[start + k] += top[k]
            values[start + width + k] += bottom[k]
        count += 1
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, 2 * width)
    photos = sorted(places)
    table = table[[places[photo] for photo in photos]]
    return Sums(photos, table[:, :width], table[:, width:], count)


def intervals(
    sums: Sums, resamples: int = RESAMPLES, seed: int = 0
) -> list[tuple[float | None, float | None]]:
    """Percentile intervals, one per quantity; None for fewer than two photos.

    Where all photos agree the interval has no width: it says nothing of photos unlike these.
    """
    rng = np.random.default_rng(seed)
    parts = _grouped(np.hstack([sums.top, sums.bottom]), rng)
    return _percentiles(_resampled(parts, resamples, rng, sums.top.shape[1]))


def compare(
    first: Sums, second: Sums, resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """`second` minus `first`, per quantity; both must hold the same photos in the same order.

    With up to 12 photos all swaps are tried, else `resamples` random ones; the observed one counts
    among these (Phipson and Smyth 2010), so that p is never 0.
    """
    if first.photos != second.photos:
        raise ValueError("a paired comparison needs the same photos on both sides")
    width = first.top.shape[1]
    rng = np.random.default_rng(seed)
    both = np.hstack([first.top, first.bottom, second.top, second.bottom])
    parts = _grouped(both, rng)
    a, b = parts[:, : 2 * width], parts[:, 2 * width :]
    found = _value(b.sum(axis=0), width) - _value(a.sum(axis=0), width)
    drawn = _resampled(parts, resamples, rng, width)
    bounds = _percentiles(drawn)
    p = _p_values(a, b, found, resamples, rng)
    return [
        Difference(_number(v), low, high, _number(q), first.rows)
        for v, (low, high), q in zip(found, bounds, p, strict=True)
    ]


def _grouped(parts: Array, rng: np.random.Generator) -> Array:
    """The rows, or their sums over `MAX_GROUPS` random groups of equal size."""
    if len(parts) <= MAX_GROUPS:
        return parts
    places = rng.permutation(len(parts)) % MAX_GROUPS
    sums = np.zeros((MAX_GROUPS, parts.shape[1]))
    np.add.at(sums, places, parts)
    return sums


def _resampled(parts: Array, resamples: int, rng: np.random.Generator, width: int) -> Array:
    """The ratios (or, of two models, their differences) in each resample: (resamples, width)."""
    count = len(parts)
    found = []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, count, (size, count), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        sums = times.astype(np.float64) @ parts
        if parts.shape[1] == 2 * width:
            found.append(_value(sums, width))
        else:
            found.append(_value(sums[:, 2 * width :], width) - _value(sums[:, : 2 * width], width))
    return np.concatenate(found)


def _p_values(
    a: Array, b: Array, found: Array, resamples: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    count, width = len(a), a.shape[1] // 2
    if count <= _EXACT:
        swaps = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        swaps = rng.integers(0, 2, (resamples, count), dtype=np.int8)
    extreme = np.zeros(width)
    for start in range(0, len(swaps), _BLOCK):
        moved = swaps[start : start + _BLOCK].astype(np.float64) @ (b - a)
        values = _value(b.sum(axis=0) - moved, width) - _value(a.sum(axis=0) + moved, width)
        extreme += (np.abs(values) >= np.abs(found) - 1e-12).sum(axis=0)
    p = extreme / len(swaps) if count <= _EXACT else (extreme + 1) / (len(swaps) + 1)
    return np.where(np.isnan(found), np.nan, p)


def _value(sums: Array, width: int) -> Array:
    return _ratio(sums[..., :width], sums[..., width:])


def _ratio(top: Array, bottom: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(bottom) > 1e-9, top / bottom, np.nan)


def _percentiles(drawn: Array) -> list[tuple[float | None, float | None]]:
    tails = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    bounds = []
    for values in drawn.T:
        kept = values[~np.isnan(values)]
        low, high = np.percentile(kept, tails) if len(kept) else (np.nan, np.nan)
        bounds.append((_number(low), _number(high)))
    return bounds


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
