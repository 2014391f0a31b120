"""Random crops of a photo that a question about one of its objects may show in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from repic.images.coordinates import Box

if TYPE_CHECKING:
    from repic.objectives.base import SeededRandom

CROPS = 32
"""Crops per object."""

MIN_SIDE, MAX_SIDE = 0.5, 1.0
"""Sides of a crop, as shares of those of the photo."""

MIN_VISIBLE = 0.7
"""Least share of the object that a crop shows, so that it is still the object."""

MAX_AREA_SHARE = 0.7
"""Largest share of a crop that the object may fill."""

MIN_PIXELS = 32
"""Least side of a crop, pixels."""

_DRAWS = 6
"""Draws per crop that is wanted; objects that fill the photo have few crops or none."""


@dataclass(frozen=True)
class CandidateCrops:
    """The whole photo, then random crops of it.

    Attributes:
        crops: xyxy in whole pixels of the photo; None is the whole photo.
        shares: The visible part of the object in each crop, as shares of the crop's width and
            height: float (n, 4), x1, y1, x2, y2 in [0, 1].
    """

    crops: tuple[Box | None, ...]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, box: Box, width: int, height: int, rng: SeededRandom | None) -> CandidateCrops:
        """Crops of a photo with an object.

        Args:
            box: Of the object, in pixels of the photo.
            rng: Draws the crops; None for the whole photo only.
        """
        crops: list[Box | None] = [None]
        whole = Box(0, 0, width, height)
        if rng is not None and min(width, height) >= MIN_PIXELS:
            for _ in range(CROPS * _DRAWS):
                crop = _drawn(width, height, rng)
                if _shows(box, crop):
                    crops.append(crop)
                if len(crops) > CROPS:
                    break
        shares = [_share(visible(box, crop or whole), crop or whole) for crop in crops]
        return cls(tuple(crops), np.array(shares))


def visible(box: Box, crop: Box) -> Box:
    """The part of a box inside of a crop, in pixels of the photo."""
    inside = box.shift(-crop.x1, -crop.y1).clip(crop.width, crop.height)
    return inside.shift(crop.x1, crop.y1)


def _drawn(width: int, height: int, rng: SeededRandom) -> Box:
    across = max(rng.between(round(MIN_SIDE * width), round(MAX_SIDE * width)), MIN_PIXELS)
    down = max(rng.between(round(MIN_SIDE * height), round(MAX_SIDE * height)), MIN_PIXELS)
    left, top = rng.between(0, width - across), rng.between(0, height - down)
    return Box(float(left), float(top), float(left + across), float(top + down))


def _shows(box: Box, crop: Box) -> bool:
    seen = visible(box, crop).area
    return seen >= MIN_VISIBLE * box.area and seen <= MAX_AREA_SHARE * crop.area


def _share(box: Box, crop: Box) -> list[float]:
    moved = box.shift(-crop.x1, -crop.y1)
    return moved.scale(1 / crop.width, 1 / crop.height).as_list()
