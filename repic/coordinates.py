"""Boxes, and the notations in which model families read and write them.

A box is always canonical in tables and in code: float xyxy in pixels of the upright original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box, xyxy in pixels of the upright original; x right, y down."""

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Box:
        """The box of four numbers `(x1, y1, x2, y2)`; ValueError for any other count."""
        x1, y1, x2, y2 = (float(value) for value in values)
        return cls(x1, y1, x2, y2)

    @property
    def width(self) -> float:
        """Extent along x in pixels; 0 for an inverted box."""
        return max(0.0, self.x2 - self.x1)

    @property
    def height(self) -> float:
        """Extent along y in pixels; 0 for an inverted box."""
        return max(0.0, self.y2 - self.y1)

    @property
    def area(self) -> float:
        """Square pixels; 0 for an inverted box."""
        return self.width * self.height

    def iou(self, other: Box) -> float:
        """Intersection over union in [0, 1]; 0 when both are empty."""
        across = max(0.0, min(self.x2, other.x2) - max(self.x1, other.x1))
        down = max(0.0, min(self.y2, other.y2) - max(self.y1, other.y1))
        intersection = across * down
        union = self.area + other.area - intersection
        return min(1.0, intersection / union) if union > 0 else 0.0

    def clip(self, width: float, height: float) -> Box:
        """The part inside a picture of `width` x `height` pixels."""
        return Box(
            min(max(self.x1, 0.0), width),
            min(max(self.y1, 0.0), height),
            min(max(self.x2, 0.0), width),
            min(max(self.y2, 0.0), height),
        )

    def round(self, digits: int) -> Box:
        """The box with every coordinate rounded to `digits` decimals."""
        return Box(*(round(value, digits) for value in (self.x1, self.y1, self.x2, self.y2)))

    def as_list(self) -> list[float]:
        """`[x1, y1, x2, y2]`, as tables hold it."""
        return [self.x1, self.y1, self.x2, self.y2]
