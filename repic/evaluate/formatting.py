"""Numbers of an evaluation as a person reads them: per cent, with interval and n."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repic.evaluate.metrics import Score

COUNTS = ("length", "extra_names", "clip_score")
"""Scores that are no shares."""


def said_of(name: str, value: float | None) -> str:
    """A share in per cent, a count as it is; `-` where nothing could be measured."""
    if value is None:
        return "-"
    return f"{value:.2f}" if name in COUNTS else f"{100 * value:.1f}"


def interval_of(name: str, low: float | None, high: float | None) -> str:
    """`70.1 to 75.0`; `-` without one."""
    return "-" if low is None else f"{said_of(name, low)} to {said_of(name, high)}"


def cell(name: str, score: Score, n: int | None = None) -> str:
    """`72.6 (70.1 to 75.0), n 24`; n only where it is not that of the row, `n`."""
    if not score.n:
        return "-"
    value = said_of(name, score.value)
    if score.low is not None:
        value += f" ({interval_of(name, score.low, score.high)})"
    return value if score.n == n else f"{value}, n {score.n}"
