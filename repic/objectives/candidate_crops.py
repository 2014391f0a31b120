"""Random crops of a photo that a question about one of its objects may show in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repic.images.coordinates import Box
from repic.objectives.base import SeededRandom

AT_ONCE = 1 << 12
"""Objects whose crops are compared at a time."""

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

_DRAWN_AT_ONCE = 48
"""Draws that are tried at once, until there are enough crops."""


@dataclass(frozen=True)
class CandidateCrops:
    """What may be shown of the photos of n objects: each whole photo, then random crops of it.

    Attributes:
        count: Number of views of each object, int (n,).
        crops: xyxy in whole pixels of the photo, int32 (n, 1 + CROPS, 4); an object with fewer
            views has the whole photo again.
        shares: The visible part of the object in each view, as shares of the view's width and
            height: float (n, 1 + CROPS, 4), x1, y1, x2, y2 in [0, 1].
    """

    count: NDArray[np.int64]
    crops: NDArray[np.int32]
    shares: NDArray[np.float64]

    @classmethod
    def of(
        cls, boxes: NDArray[np.float64], sizes: NDArray[np.int64], seeds: Sequence[int | None]
    ) -> CandidateCrops:
        """Crops of photos with an object each.

        Args:
            boxes: Of the objects, xyxy in pixels of the photo, (n, 4).
            sizes: Width and height of the photos, (n, 2).
            seeds: Of the crops of each; None for the whole photo only.
        """
        whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1).astype(np.int32)
        crops = np.repeat(whole[:, None], 1 + CROPS, axis=1)
        count = np.ones(len(boxes), np.int64)
        fits = sizes.min(axis=1, initial=MIN_PIXELS) >= MIN_PIXELS
        for i in np.flatnonzero(fits).tolist():
            if (seed := seeds[i]) is not None:
                found = _crops(boxes[i], sizes[i], SeededRandom(seed))
                crops[i, 1 : 1 + len(found)] = found
                count[i] += len(found)
        shares = np.empty(crops.shape)
        for start in range(0, len(boxes), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            seen = _visible(boxes[part, None], crops[part])
            side = crops[part, :, 2:] - crops[part, :, :2]
            shares[part] = (seen - np.tile(crops[part, :, :2], 2)) * np.tile(1 / side, 2)
        return cls(count, crops, shares)


def visible(box: Box, crop: Box) -> Box:
    """The part of a box inside of a crop, in pixels of the photo."""
    inside = box.shift(-crop.x1, -crop.y1).clip(crop.width, crop.height)
    return inside.shift(crop.x1, crop.y1)


def _visible(boxes: NDArray[np.float64], crops: NDArray[np.int32]) -> NDArray[np.float64]:
    """`visible` of many boxes and crops, (..., 4) each."""
    corner = np.tile(crops[..., :2], 2)
    side = np.tile(crops[..., 2:] - crops[..., :2], 2)
    return np.minimum(np.maximum(boxes - corner, 0.0), side) + corner


def _crops(
    box: NDArray[np.float64], size: NDArray[np.int64], rng: SeededRandom
) -> NDArray[np.int32]:
    """Up to `CROPS` random crops that show the object, int32 (k, 4)."""
    found = np.zeros((0, 4), np.int32)
    for _ in range(0, CROPS * _DRAWS, _DRAWN_AT_ONCE):
        if len(found) < CROPS:
            found = np.concatenate([found, _drawn(box, size, rng, _DRAWN_AT_ONCE)])
    return found[:CROPS]


def _drawn(
    box: NDArray[np.float64], size: NDArray[np.int64], rng: SeededRandom, draws: int
) -> NDArray[np.int32]:
    """Those of some random crops that show the object."""
    numbers = rng.numbers(4 * draws).reshape(draws, 2, 2)
    low, high = np.rint(MIN_SIDE * size), np.rint(MAX_SIDE * size)
    side = np.maximum(low + np.floor(numbers[:, 0] * (high - low + 1)), MIN_PIXELS)
    corner = np.floor(numbers[:, 1] * (size - side + 1))
    crops = np.concatenate([corner, corner + side], axis=1).astype(np.int32)
    seen = _areas(_visible(box, crops))
    return crops[(seen >= MIN_VISIBLE * _areas(box)) & (seen <= MAX_AREA_SHARE * side.prod(axis=1))]


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1))
