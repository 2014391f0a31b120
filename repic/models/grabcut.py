"""The main object of a photo, cut out by its colours from a coarse map of where it is.

GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004; OpenCV's implementation) models the colours of
foreground and background as mixtures of Gaussians and finds the cheapest border between them by a
graph cut, in turns. The map says where to begin; only the edge of the photo is background for
sure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE = 224
"""Longer side at which the photo is cut, pixels; the time grows with its square."""
PROBABLE = 0.2
"""Share of the map's range above which a pixel is foreground at first."""
ROUNDS = 2
OPENING = 5
"""Side of the square that removes thin parts such as a string or a seam, pixels."""
LEAST_SHARE = 0.01
"""Share of the photo below which the cut has lost the object, and the map alone gives it."""
NOISE = 3
"""Largest change of a pixel's value by noise, of 255."""
_LEAST_SIDE = 8
_LEAST_PIXELS = 5
"""OpenCV's mixtures have five Gaussians, each of which needs a pixel."""


class Cutout(NamedTuple):
    """What was cut out of an image.

    Attributes:
        box: Bounds of the largest part, float64 (4,), xyxy in pixels of the image.
        mask: All parts, bool (h, w), over the image at the resolution of the cut.
    """

    box: np.ndarray
    mask: np.ndarray


def main_object(image: Image.Image, evidence: np.ndarray) -> Cutout:
    """Cut out what the evidence points to.

    The same image and evidence give the same pixels: the random generator of OpenCV is seeded, and
    it uses one thread.

    Args:
        image: RGB.
        evidence: Map over the image of any size, float32 (h, w); higher where the object is.
    """
    import cv2

    ratio = SIDE / max(image.size)
    width, height = (max(_LEAST_SIDE, round(side * ratio)) for side in image.size)
    pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    seed = normalized(cv2.resize(evidence.astype(np.float32), (width, height)))
    foreground = _opened(_cut(np.ascontiguousarray(pixels[..., ::-1]), seed))
    mask, box = foreground, _largest_part(foreground)
    if not mask.any() or (box[2:] - box[:2]).prod() < LEAST_SHARE * mask.size:
        mask = seed > PROBABLE
        box = _largest_part(mask)
    box = box * np.array([image.width / width, image.height / height] * 2)
    return Cutout(np.clip(box, 0, [*image.size] * 2), mask)


def normalized(values: np.ndarray) -> np.ndarray:
    """Values scaled to the range 0 to 1; all 1 if they are equal."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def _cut(pixels: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Foreground of BGR pixels, bool (h, w)."""
    import cv2

    mask = np.where(seed > PROBABLE, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[[0, -1], :] = mask[:, [0, -1]] = cv2.GC_BGD
    is_foreground = _is_foreground(mask)
    if min(is_foreground.sum(), (~is_foreground).sum()) < _LEAST_PIXELS:
        return is_foreground
    cv2.setNumThreads(1)
    cv2.setRNGSeed(0)
    pixels = _with_noise(pixels)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    whole = (0, 0, mask.shape[1], mask.shape[0])  # not used with an initial mask
    cv2.grabCut(pixels, mask, whole, background, foreground, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return _is_foreground(mask)


def _with_noise(pixels: np.ndarray) -> np.ndarray:
    """Pixels with slight noise, the same every time.

    In areas of exactly one colour, as in drawings and blank photos, all borders cost the same, and
    the graph cut would compare them for minutes.
    """
    return np.clip(pixels + _noise(pixels.shape), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _noise(shape: tuple[int, ...]) -> np.ndarray:
    draw = np.random.RandomState(0)  # whose numbers are frozen, unlike a Generator's
    return draw.randint(-NOISE, NOISE + 1, shape)


def _is_foreground(mask: np.ndarray) -> np.ndarray:
    import cv2

    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def _opened(foreground: np.ndarray) -> np.ndarray:
    """Without thin parts, unless that leaves nothing."""
    import cv2

    kernel = np.ones((OPENING, OPENING), np.uint8)
    opened = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    return opened if opened.any() else foreground


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """Bounds of the largest connected part, xyxy; of the whole mask if it is empty."""
    import cv2

    count, _, parts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return np.array([0, 0, mask.shape[1], mask.shape[0]], dtype=np.float64)
    left, top, width, height, _ = parts[1 + parts[1:, cv2.CC_STAT_AREA].argmax()]
    return np.array([left, top, left + width, top + height], dtype=np.float64)
