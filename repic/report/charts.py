"""Chart coordinates; the template draws them as SVG in the colors of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

STEPS = (0.005, 0.01, 0.02, 0.05, 0.1)
MAX_BINS = 40
BANDS = ("easy", "medium", "hard")


@dataclass(frozen=True)
class _Bar:
    """A rectangle in percent of the chart's width and height; y runs from the top."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str


@dataclass(frozen=True)
class _Tick:
    """A label below the chart, at `x` percent of its width."""

    x: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Positives above a middle line, negatives below it, each half with its own scale.

    Attributes:
        up: Pairs in the tallest bin of the upper half.
        down: Pairs in the tallest bin of the lower half.
    """

    bars: tuple[_Bar, ...]
    ticks: tuple[_Tick, ...]
    up: int
    down: int


def histogram(similarity: Mapping[tuple[str, str], np.ndarray]) -> Histogram | None:
    """A mirrored histogram, bands stacked outwards from the middle line; None without pairs.

    Args:
        similarity: (kind, band) -> float (n,).
    """
    filled = {group: values for group, values in similarity.items() if len(values)}
    if not filled:
        return None
    low = min(float(values.min()) for values in filled.values())
    high = max(float(values.max()) for values in filled.values())
    step = next((s for s in STEPS if (high - low) / s <= MAX_BINS - 2), STEPS[-1])
    first, last = math.floor(low / step + 1e-6), math.floor(high / step + 1e-6) + 1
    counts = {
        group: np.bincount(_bin(values, step, first), minlength=last - first)
        for group, values in filled.items()
    }
    top = {
        kind: int(sum((c for (k, _), c in counts.items() if k == kind), np.zeros(1, int)).max())
        for kind in ("positive", "negative")
    }
    bars = [
        bar
        for kind in ("positive", "negative")
        for bar in _stacked(counts, kind, top[kind], first, step)
    ]
    return Histogram(tuple(bars), _ticks(first, last, step), top["positive"], top["negative"])


def _bin(values: np.ndarray, step: float, first: int) -> np.ndarray:
    # Similarities have four decimals; the small shift keeps 0.30 out of the bin below it.
    return np.floor(values.astype(np.float64) / step + 1e-6).astype(np.int64) - first


def _stacked(
    counts: Mapping[tuple[str, str], np.ndarray], kind: str, top: int, first: int, step: float
) -> list[_Bar]:
    bars = []
    bins = max(len(c) for c in counts.values())
    stacked = np.zeros(bins)
    for band in BANDS:
        column = counts.get((kind, band), np.zeros(bins, int))
        for index in np.flatnonzero(column):
            height = 48 * column[index] / top
            y = 50 - stacked[index] - height if kind == "positive" else 50 + stacked[index]
            edge = (first + int(index)) * step
            title = f"{edge:.3g} to {edge + step:.3g}: {column[index]:,} {band} {kind}s"
            x, width = 100 * int(index) / bins, 100 / bins
            shape = (x + width * 0.06, float(y), width * 0.88, float(height))
            bars.append(_Bar(*shape, f"{kind} {band}", title))
            stacked[index] += height
    return bars


def _ticks(first: int, last: int, step: float) -> tuple[_Tick, ...]:
    """About five round values."""
    fifth = (last - first) * step / 5
    every = next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if s >= fifth), 0.5)
    low, high = math.ceil(first * step / every - 1e-6), math.floor(last * step / every + 1e-6)
    span = (last - first) * step
    return tuple(
        _Tick(min(max(0.0, 100 * (n * every - first * step) / span), 100.0), f"{n * every:.3g}")
        for n in range(low, high + 1)
    )
