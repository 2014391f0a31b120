"""Sprites: identities in colour, at any scale, angle and flip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from repic.sample import shapes
from repic.sample.identities import COLOURS, PLAIN, SECOND_COLOURS, Colour, Identity
from repic.sample.shapes import SpriteMaterial

ACCESSORY_COLOURS: dict[str | None, Colour] = {
    None: (0, 0, 0),
    "bow": (176, 18, 104),
    "crown": (226, 178, 60),
    "flag": (236, 240, 244),
}
_DARK, _PALE, _WOOD, _OUTLINE = (44, 42, 50), (226, 234, 240), (134, 92, 56), (28, 24, 30)
_SHADES = 16
_LEVELS = (1.0, 0.7, 0.5, 0.35, 0.25)
_OPAQUE = 128


@dataclass(frozen=True)
class Pose:
    """Pose of an object.

    Attributes:
        scale: Pixels per 100 units, about the height of the body.
        degrees: Rotation, clockwise.
        stretch: Width over height, 1 as drawn.
        flip: Mirrored left to right.
    """

    scale: float
    degrees: int = 0
    stretch: float = 1.0
    flip: bool = False


@dataclass(frozen=True)
class Patch:
    """Pixels of an object, cropped to the opaque part.

    Attributes:
        colour: uint8 (h, w, 3), premultiplied by `alpha`.
        alpha: uint8 (h, w).
        mask: bool (h, w), pixels at least half opaque; touches all four sides.
        accessory: bool (h, w), the part of `mask` that shows the accessory.
    """

    colour: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    accessory: npt.NDArray[np.bool_]


def patch(identity: Identity, pose: Pose, detail: int) -> Patch:
    """The object in a pose, anti-aliased; `detail` is the side in pixels of its largest sprite."""
    level = _level(pose.scale * shapes.UNITS / shapes.BODY_UNITS, detail)
    matrix, size = _affine(pose, level)
    image = _pictures(identity, detail)[_LEVELS.index(level[0])].transform(
        size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    pixels = np.asarray(image)
    opaque = pixels[..., 3] >= _OPAQUE
    window = tight(opaque)
    if identity.accessory:
        worn = _worn(identity.category, identity.accessory, detail)[_LEVELS.index(level[0])]
        worn = worn.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        accessory = (np.asarray(worn) >= _OPAQUE) & opaque
    else:
        accessory = np.zeros_like(opaque)
    return Patch(pixels[window][..., :3], pixels[window][..., 3], opaque[window], accessory[window])


def tight(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of the bounding window of a mask (h, w).

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        raise ValueError("an empty mask has no window")
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _level(wanted: float, detail: int) -> tuple[float, int]:
    """The smallest sprite of at least `wanted` pixels: its level and its side."""
    fits = [level for level in _LEVELS if round(level * detail) >= wanted]
    level = fits[-1] if fits else _LEVELS[0]
    return level, round(level * detail)


def _affine(
    pose: Pose, level: tuple[float, int]
) -> tuple[tuple[float, float, float, float, float, float], tuple[int, int]]:
    """The affine map from output to sprite pixels, and the size of the output.

    Coefficients are rounded to 2^-16, because the last bits of sines differ between machines.
    """
    side = level[1]
    shrink = side * shapes.BODY_UNITS / (shapes.UNITS * pose.scale)
    turn = math.radians(pose.degrees)
    cosine, sine = math.cos(turn), math.sin(turn)
    across = shrink / pose.stretch * (-1 if pose.flip else 1)
    a, b, c, d = (
        round(v * 65536) / 65536
        for v in (across * cosine, across * sine, -shrink * sine, shrink * cosine)
    )
    reach = side / shrink * (abs(cosine) + abs(sine)) * max(1.0, pose.stretch)
    out = round(reach) // 2 * 2 + 2
    centre = out / 2
    return (
        (a, b, side / 2 - a * centre - b * centre, c, d, side / 2 - c * centre - d * centre),
        (out, out),
    )


@lru_cache(maxsize=256)
def _pictures(identity: Identity, detail: int) -> tuple[Image.Image, ...]:
    """Premultiplied RGBA pictures of one identity, one per level."""
    fine = 2 * detail
    drawing = shapes.draw(identity.category, identity.accessory, fine)
    materials = drawing.materials
    if identity.pattern != PLAIN:
        patterned = shapes.pattern(identity.pattern, fine) & (materials == SpriteMaterial.BODY)
        materials = materials + patterned * np.uint8(SpriteMaterial.PATTERN - SpriteMaterial.BODY)
    # One lookup per pixel: 8 materials x 16 shades fit a byte.
    pixels = np.take(_palette(identity), materials * np.uint8(_SHADES) + _shading(fine))
    finest = Image.frombuffer("RGBa", (fine, fine), pixels.tobytes(), "raw", "RGBa", 0, 1)
    return _levels(finest.reduce(2), detail)


@lru_cache(maxsize=256)
def _worn(category: str, accessory: str, detail: int) -> tuple[Image.Image, ...]:
    """Masks of the accessory as grey pictures, one per level."""
    mask = shapes.draw(category, accessory, 2 * detail).accessory
    return _levels(Image.fromarray(mask.astype(np.uint8) * 255).reduce(2), detail)


def _levels(finest: Image.Image, detail: int) -> tuple[Image.Image, ...]:
    sides = [round(level * detail) for level in _LEVELS]
    return (
        finest,
        *(finest.resize((side, side), Image.Resampling.BOX) for side in sides[1:]),
    )


def _palette(identity: Identity) -> npt.NDArray[np.uint32]:
    """Premultiplied RGBA, four bytes as one uint32: (materials * shades,)."""
    body = COLOURS[identity.colour]
    colours = {
        SpriteMaterial.BODY: body,
        SpriteMaterial.PATTERN: SECOND_COLOURS.get(identity.second_colour or "", body),
        SpriteMaterial.DARK: _DARK,
        SpriteMaterial.PALE: _PALE,
        SpriteMaterial.WOOD: _WOOD,
        SpriteMaterial.ACCESSORY: ACCESSORY_COLOURS[identity.accessory],
        SpriteMaterial.OUTLINE: _OUTLINE,
    }
    table = np.zeros((len(SpriteMaterial), _SHADES, 4), np.int32)
    strength = np.arange(_SHADES) * 3 + 78  # percent
    for material, colour in colours.items():
        table[material, :, :3] = np.array(colour) * strength[:, None] // 100
        table[material, :, 3] = 255
    return table.clip(0, 255).astype(np.uint8).view(np.uint32).reshape(-1)


@lru_cache(maxsize=8)
def _shading(side: int) -> npt.NDArray[np.uint8]:
    """Shade of each pixel, brightest at the upper left: uint8 (side, side) below `_SHADES`."""
    y, x = np.mgrid[0:side, 0:side] * 100 // side
    distance = (x - 34) ** 2 + (y - 38) ** 2
    return (_SHADES - 1 - (distance * _SHADES // 6600).clip(0, _SHADES - 1)).astype(np.uint8)
