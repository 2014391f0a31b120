"""Curves over the steps of a training run; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repic.training.publish import PANELS

SHOWN_PANELS = (*PANELS, ("share without a score", ("unscored",)))
LINES = ("line-a", "line-b", "line-c", "line-d")
"""Classes of the lines of a chart."""

Logs = list[dict[str, Any]]
"""Figures of steps under the names that TRL has for them; each has `step`."""


@dataclass(frozen=True)
class Line:
    """A curve in percent of the chart, y from the top, and its last value."""

    label: str
    style: str
    points: str
    last: float


@dataclass(frozen=True)
class Panel:
    """A chart over steps; `low` and `high` are its lowest and highest value."""

    title: str
    lines: tuple[Line, ...]
    first: int
    last: int
    low: float
    high: float


def panels(logs: Logs) -> list[Panel]:
    """Charts of the figures that a run has."""
    found = []
    for title, keys in SHOWN_PANELS:
        points = {key: _points(logs, key) for key in keys}
        points = {key: some for key, some in points.items() if some}
        if points:
            found.append(_panel(title, points))
    return found


def _points(logs: Logs, key: str) -> list[tuple[int, float]]:
    return [
        (entry["step"], float(entry[key]))
        for entry in logs
        if isinstance(entry.get(key), int | float) and math.isfinite(entry[key])
    ]


def _panel(title: str, points: Mapping[str, list[tuple[int, float]]]) -> Panel:
    steps = [step for some in points.values() for step, _ in some]
    values = [value for some in points.values() for _, value in some]
    first, last, low, high = min(steps), max(steps), min(values), max(values)

    def at(step: int, value: float) -> str:
        x = 100 * (step - first) / max(1, last - first)
        y = 50.0 if high == low else 96 - 92 * (value - low) / (high - low)
        return f"{x:.2f},{y:.2f}"

    lines = []
    for (key, some), style in zip(points.items(), LINES, strict=False):
        # A line of one point is invisible, so it gets a second one at the right edge.
        drawn = [at(*point) for point in some] if len(some) > 1 else [at(first, some[0][1])]
        drawn += [f"100,{drawn[0].partition(',')[2]}"] if len(some) == 1 else []
        lines.append(Line(key.removeprefix("rewards/"), style, " ".join(drawn), some[-1][1]))
    return Panel(title, tuple(lines), first, last, low, high)
