"""Boxes, and the notation of each model family for them.

Boxes in tables and code are canonical: float xyxy in pixels of the upright original.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.images.box_text import MAX_PADDING, BoxError, BoxText, read_box

__all__ = [
    "INTERNVL",
    "MAX_PADDING",
    "NORMALIZED",
    "QWEN2_VL",
    "QWEN3_VL",
    "Box",
    "BoxError",
    "BoxText",
    "Convention",
    "ConventionError",
    "named_convention",
    "reduced",
    "upright",
]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box, xyxy in pixels of the upright original; x right, y down."""

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Box:
        """Box of the four numbers `(x1, y1, x2, y2)`; ValueError for any other count."""
        x1, y1, x2, y2 = (float(value) for value in values)
        return cls(x1, y1, x2, y2)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Box:
        """Box of a table row with the columns `x1`, `y1`, `x2` and `y2`."""
        return cls(row["x1"], row["y1"], row["x2"], row["y2"])

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

    def intersection(self, other: Box) -> float:
        """Square pixels that are in both."""
        across = max(0.0, min(self.x2, other.x2) - max(self.x1, other.x1))
        down = max(0.0, min(self.y2, other.y2) - max(self.y1, other.y1))
        return across * down

    def iou(self, other: Box) -> float:
        """Intersection over union in [0, 1]; 0 when both are empty."""
        intersection = self.intersection(other)
        union = self.area + other.area - intersection
        return min(1.0, intersection / union) if union > 0 else 0.0

    def clip(self, width: float, height: float) -> Box:
        """The part within a picture of `width` x `height` pixels."""
        return Box(
            min(max(self.x1, 0.0), width),
            min(max(self.y1, 0.0), height),
            min(max(self.x2, 0.0), width),
            min(max(self.y2, 0.0), height),
        )

    def shift(self, x: float, y: float) -> Box:
        """The box moved right and down."""
        return Box(self.x1 + x, self.y1 + y, self.x2 + x, self.y2 + y)

    def scale(self, x: float, y: float) -> Box:
        """The box with x and y coordinates multiplied."""
        return Box(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y)

    def round(self, digits: int) -> Box:
        """The box with every coordinate rounded to `digits` decimals."""
        return Box(*(round(value, digits) for value in (self.x1, self.y1, self.x2, self.y2)))

    def as_list(self) -> list[float]:
        """`[x1, y1, x2, y2]`, the form used in tables."""
        return [self.x1, self.y1, self.x2, self.y2]


def upright(box: Box, width: float, height: float, orientation: int) -> Box:
    """A box drawn on a photo as it is stored, on the photo as it is shown.

    Args:
        box: xyxy in pixels of the stored photo.
        width: Width of the stored photo in pixels.
        height: Height, likewise.
        orientation: EXIF orientation of the file, 1 to 8 (EXIF 2.32, tag 0x0112).
    """
    x1, y1, x2, y2 = box.x1, box.y1, box.x2, box.y2
    if orientation in (2, 3, 7, 8):  # what was right is left, or top after transposing
        x1, x2 = width - x2, width - x1
    if orientation in (3, 4, 6, 7):  # what was below is above, or left after transposing
        y1, y2 = height - y2, height - y1
    return Box(y1, x1, y2, x2) if orientation >= 5 else Box(x1, y1, x2, y2)


def reduced(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Size of a picture whose shorter side is reduced to `short_side` pixels if it is longer.

    >>> reduced(4000, 3000, 1024), reduced(640, 480, 1024), reduced(640, 480, None)
    ((1365, 1024), (640, 480), (640, 480))
    """
    shorter = min(width, height)
    if short_side is None or shorter <= short_side:
        return width, height
    return round(width * short_side / shorter), round(height * short_side / shorter)


class ConventionError(ValueError):
    """The box notation of a model is unknown; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class FixedGrid:
    """A grid of one size for all pictures: 1000 x 1000, or 1 x 1 for fractions."""

    side: float

    def __call__(self, width: int, height: int) -> tuple[float, float]:
        """Width and height of the grid."""
        return self.side, self.side


@dataclass(frozen=True, slots=True)
class ResizedGrid:
    """The pixels of the picture after the resize of a Qwen2.5-VL processor.

    Attributes:
        factor: Both sides become multiples of this: patch size x merge size.
        min_pixels: Minimum pixels (area) of the resized picture.
        max_pixels: Maximum pixels (area) of the resized picture.
    """

    factor: int
    min_pixels: int
    max_pixels: int

    def __call__(self, width: int, height: int) -> tuple[float, float]:
        """Width and height after the resize; `smart_resize` of Qwen2-VL (arXiv 2409.12191).

        Sides are rounded to the factor. An area outside the limits is scaled by the square root of
        the excess, with sides rounded down if it was too large and up if it was too small.

        Raises:
            ValueError: one side is more than 200 times the other, which the processor refuses.
        """
        if max(width, height) > 200 * min(width, height):
            raise ValueError(f"a picture of {width} x {height} is too narrow for this model family")
        across, down = (round(side / self.factor) * self.factor for side in (width, height))
        if across * down > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            across, down = (
                max(self.factor, math.floor(side / shrink / self.factor) * self.factor)
                for side in (width, height)
            )
        elif across * down < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            across, down = (
                math.ceil(side * grow / self.factor) * self.factor for side in (width, height)
            )
        return float(across), float(down)


@dataclass(frozen=True, slots=True)
class Convention:
    """How a model family writes a box.

    Units are those of the family, never guessed from the numbers. Any notation (brackets, JSON,
    tokens) is accepted, since it does not change the meaning.

    Attributes:
        name: Name of the convention.
        grid: Returns width and height, in the family's units, of a picture of `width` x `height`
            pixels, as given to the processor.
        template: Notation of the family, with the fields x1, y1, x2, y2.
        decimals: Digits after the point.
    """

    name: str
    grid: FixedGrid | ResizedGrid
    template: str
    decimals: int = 0

    def render(self, box: Box, width: int, height: int) -> str:
        """The box in the notation of the family, for a picture of `width` x `height` pixels.

        Each edge is off by at most half a unit. A side shorter than one unit is written as one
        unit, since an empty box is not valid.

        >>> QWEN3_VL.render(Box(32, 24, 320, 240), 640, 480)
        '{"bbox_2d": [50, 50, 500, 500]}'
        """
        across, down = self.grid(width, height)
        x1, x2 = self._snap(box.x1 / width * across, box.x2 / width * across, across)
        y1, y2 = self._snap(box.y1 / height * down, box.y2 / height * down, down)
        numbers = (f"{value:.{self.decimals}f}" for value in (x1, y1, x2, y2))
        return self.template.format(**dict(zip(("x1", "y1", "x2", "y2"), numbers, strict=True)))

    def _snap(self, low: float, high: float, limit: float) -> tuple[float, float]:
        unit = 10**self.decimals
        first, second = (min(max(math.floor(v * unit + 0.5), 0), limit * unit) for v in (low, high))
        if second <= first:
            first = min(first, limit * unit - 1)
            second = first + 1
        return first / unit, second / unit

    def parse(self, text: str, width: int, height: int) -> Box:
        """The single box in an answer, in pixels of the picture.

        Accepts four numbers in brackets, two corners in parentheses, the box tokens of Qwen2-VL and
        InternVL, and JSON: a list of four numbers, alone or in lists and objects, where `bbox_2d`,
        `bbox`, `box` or a label is its key. Code fences, spaces, decimals, a label and up to
        `MAX_PADDING` characters of other text are allowed. A repeated box counts once.

        Raises:
            BoxError: no box, several different boxes, or numbers that this convention excludes.
        """
        return self.box_of(read_box(text), width, height)

    def box_of(self, written: BoxText, width: int, height: int) -> Box:
        """The box that an answer gives, in pixels of the picture.

        Raises:
            BoxError: numbers or a notation that this convention excludes.
        """
        if written.notation == "tokens" and not (
            isinstance(self.grid, FixedGrid) and self.grid.side == 1000
        ):
            raise BoxError("convention", f"box tokens mean 0-1000, which {self.name} does not use")
        x1, y1, x2, y2 = values = written.numbers
        across, down = self.grid(width, height)
        are_integers = all(value == int(value) for value in values)
        if max(values) <= 1 and across > 1 and not are_integers:
            raise BoxError(
                "convention", f"these are shares of the picture, not units of {self.name}"
            )
        slack = 1.0 if isinstance(self.grid, ResizedGrid) else 0.0
        if min(values) < -slack or max(x1, x2) > across + slack or max(y1, y2) > down + slack:
            raise BoxError("outside", f"outside of the {across:g} x {down:g} units of {self.name}")
        if x2 < x1 or y2 < y1:
            raise BoxError("inverted", "the second corner is above or left of the first")
        box = self.to_pixels(values, width, height).clip(width, height)
        if box.area == 0:
            raise BoxError("empty", "the box has no area")
        return box

    def to_pixels(self, values: Sequence[float], width: int, height: int) -> Box:
        """Four numbers in the family's units as a box in pixels of the picture, without checks."""
        across, down = self.grid(width, height)
        x1, y1, x2, y2 = values
        return Box(x1 / across * width, y1 / down * height, x2 / across * width, y2 / down * height)


QWEN2_VL = Convention(
    "qwen2-vl", FixedGrid(1000), "<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
)
QWEN3_VL = Convention("qwen3-vl", FixedGrid(1000), '{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}]}}')
INTERNVL = Convention("internvl", FixedGrid(1000), "<box>[[{x1}, {y1}, {x2}, {y2}]]</box>")
NORMALIZED = Convention("normalised", FixedGrid(1), "[{x1}, {y1}, {x2}, {y2}]", decimals=4)


RESIZED = "qwen2.5-vl"
"""Name of the convention whose units depend on the processor's limits of pixels."""


CONVENTIONS = {c.name: c for c in (QWEN2_VL, QWEN3_VL, INTERNVL, NORMALIZED)}
"""Conventions that need no processor, by name."""


def named_convention(
    name: str, min_pixels: int | None = None, max_pixels: int | None = None, factor: int = 28
) -> Convention:
    """The convention of a name.

    Args:
        name: One of `CONVENTIONS`, or `qwen2.5-vl`, which also needs the limits of the processor.
        min_pixels: Least pixels (area) of a resized picture.
        max_pixels: Most pixels (area) of a resized picture, both as the trainer sets them.
        factor: Patch size x merge size.

    Raises:
        ConventionError: there is no such name, or the limits are missing or not needed.
    """
    if name != RESIZED and name not in CONVENTIONS:
        raise ConventionError(f"there is no convention {name!r}: choose {', '.join(CONVENTIONS)}")
    if name != RESIZED:
        if min_pixels is not None or max_pixels is not None:
            raise ConventionError(f"min_pixels and max_pixels belong to {RESIZED}, not to {name}")
        return CONVENTIONS[name]
    if min_pixels is None or max_pixels is None:
        raise ConventionError(
            f"{RESIZED} writes pixels of the resized photo: give min_pixels and max_pixels of its "
            "processor (see its preprocessor_config.json; 3136 and 12845056 as published)"
        )
    if min_pixels > max_pixels:
        raise ConventionError("min_pixels is more than max_pixels")
    return Convention(RESIZED, ResizedGrid(factor, min_pixels, max_pixels), QWEN3_VL.template)
