"""Boxes of COCO segmentations: polygons, and run-length encoded masks (RLE).

RLE counts pixels in columns, background first. Compressed counts are signed numbers in base 32,
least significant digit first, six bits a character, each relative to the count two places before
(`rleToString` in cocoapi's maskApi.c).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from repic.images.coordinates import Box

MAX_COUNTS = 4_000_000


def bounds(segmentation: Any) -> Box | None:
    """Box of a segmentation, xyxy in its pixels; None if it is malformed or empty."""
    try:
        if isinstance(segmentation, dict):
            return _of_mask(segmentation)
        if isinstance(segmentation, list):
            return _of_polygons(segmentation)
    except (TypeError, ValueError, KeyError, OverflowError):
        pass
    return None


def _of_polygons(polygons: list[Any]) -> Box | None:
    numbers = [float(value) for polygon in polygons for value in polygon]
    if len(numbers) < 6 or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        return None
    xs, ys = numbers[::2], numbers[1::2]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _of_mask(rle: dict[str, Any]) -> Box | None:
    height, width = (int(side) for side in rle["size"])
    counts = rle["counts"]
    listed = list(_decoded(counts)) if isinstance(counts, str) else [int(c) for c in counts]
    if min(height, width, *listed, 0) < 0 or height < 1 or len(listed) > MAX_COUNTS:
        return None
    ends = np.cumsum(np.array(listed, dtype=np.int64))
    starts, ends = ends[:-1:2], ends[1::2]  # runs of the object
    filled = ends > starts[: len(ends)]
    starts, ends = starts[: len(ends)][filled], ends[filled]
    if not len(ends) or ends[-1] > height * width:
        return None
    tall = starts // height != (ends - 1) // height  # the run goes on in the next column
    top = 0 if tall.any() else int((starts % height).min())
    bottom = height if tall.any() else int(((ends - 1) % height).max()) + 1
    return Box(float(starts[0] // height), float(top), float((ends[-1] - 1) // height + 1), bottom)


def _decoded(text: str) -> Iterable[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("it is no run-length code")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
