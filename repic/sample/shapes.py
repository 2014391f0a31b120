"""Shapes of the categories and accessories: material maps, without colours.

A body is drawn in a square of 100 units. An accessory sits on the `top` of the body and may rise
above it, so the canvas is larger: 136 units wide and high. Integer units, polygons and ellipses
only, so that the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

UNITS = 136
BODY_UNITS = 100
_LEFT, _ABOVE = 18, 32
_OUTLINE = 5  # units, both sides of an edge

Point = tuple[int, int]


class SpriteMaterial(IntEnum):
    """Material of a pixel in a drawing."""

    NOTHING = 0
    BODY = 1
    PATTERN = 2
    DARK = 3
    PALE = 4
    WOOD = 5
    ACCESSORY = 6
    OUTLINE = 7


NOTHING, BODY, ACCESSORY = SpriteMaterial.NOTHING, SpriteMaterial.BODY, SpriteMaterial.ACCESSORY
DARK, PALE, WOOD = SpriteMaterial.DARK, SpriteMaterial.PALE, SpriteMaterial.WOOD


class _Pen:
    """Draws materials into a square canvas of `side` pixels, in units of the body."""

    def __init__(self, side: int) -> None:
        self.image = Image.new("L", (side, side), NOTHING)
        self._draw = ImageDraw.Draw(self.image)
        self._side = side

    def _pixel(self, x: int, y: int) -> Point:
        return (x + _LEFT) * self._side // UNITS, (y + _ABOVE) * self._side // UNITS

    def polygon(self, material: SpriteMaterial, *points: Point) -> None:
        self._draw.polygon([self._pixel(*p) for p in points], fill=material)

    def oval(self, material: SpriteMaterial, x1: int, y1: int, x2: int, y2: int) -> None:
        self._draw.ellipse((self._pixel(x1, y1), self._pixel(x2, y2)), fill=material)

    def dome(self, material: SpriteMaterial, x1: int, y1: int, x2: int, y2: int) -> None:
        """The upper half of the ellipse in this box."""
        self._draw.pieslice((self._pixel(x1, y1), self._pixel(x2, y2)), 180, 360, fill=material)

    def block(self, material: SpriteMaterial, x1: int, y1: int, x2: int, y2: int) -> None:
        self._draw.rectangle((self._pixel(x1, y1), self._pixel(x2, y2)), fill=material)


def _ball(pen: _Pen) -> None:
    pen.oval(BODY, 3, 5, 97, 99)


def _bear(pen: _Pen) -> None:
    for x in (17, 61):
        pen.oval(BODY, x, 0, x + 22, 22)
    for x in (4, 72):
        pen.oval(BODY, x, 48, x + 24, 76)
    for x in (16, 56):
        pen.oval(BODY, x, 76, x + 28, 100)
    pen.oval(BODY, 20, 42, 80, 98)
    pen.oval(BODY, 20, 2, 80, 54)
    pen.oval(PALE, 37, 29, 63, 49)
    pen.oval(DARK, 44, 30, 56, 39)
    for x in (33, 59):
        pen.oval(DARK, x, 18, x + 8, 27)


def _boat(pen: _Pen) -> None:
    pen.block(WOOD, 46, 2, 52, 64)
    pen.polygon(BODY, (54, 4), (54, 58), (97, 58))
    pen.polygon(BODY, (44, 12), (44, 58), (8, 58))
    pen.polygon(BODY, (0, 64), (100, 64), (82, 98), (18, 98))


def _bottle(pen: _Pen) -> None:
    pen.block(BODY, 38, 8, 62, 34)
    pen.polygon(BODY, (38, 30), (62, 30), (80, 52), (80, 100), (20, 100), (20, 52))
    pen.block(DARK, 35, 0, 65, 12)


def _car(pen: _Pen) -> None:
    pen.polygon(BODY, (14, 52), (28, 22), (70, 22), (86, 52))
    pen.polygon(PALE, (25, 48), (34, 29), (47, 29), (47, 48))
    pen.polygon(PALE, (53, 48), (53, 29), (66, 29), (75, 48))
    pen.polygon(BODY, (0, 56), (8, 48), (92, 48), (100, 58), (100, 82), (0, 82))
    for x in (10, 62):
        pen.oval(DARK, x, 66, x + 28, 94)
        pen.oval(PALE, x + 9, 75, x + 19, 85)


def _chair(pen: _Pen) -> None:
    for x in (14, 74):
        pen.block(WOOD, x, 66, x + 12, 100)
    pen.block(BODY, 20, 0, 80, 50)
    pen.polygon(BODY, (20, 50), (80, 50), (94, 70), (6, 70))


def _fish(pen: _Pen) -> None:
    pen.polygon(BODY, (26, 30), (46, 4), (60, 28))
    pen.polygon(BODY, (64, 52), (100, 20), (92, 52), (100, 86))
    pen.oval(BODY, 0, 18, 78, 88)
    pen.oval(PALE, 11, 36, 27, 52)
    pen.oval(DARK, 15, 40, 23, 48)


def _hat(pen: _Pen) -> None:
    pen.oval(BODY, 0, 70, 100, 100)
    pen.polygon(BODY, (20, 8), (80, 8), (76, 86), (24, 86))
    pen.polygon(DARK, (23, 64), (77, 64), (76, 78), (24, 78))


def _house(pen: _Pen) -> None:
    pen.block(WOOD, 70, 6, 84, 44)
    pen.block(BODY, 12, 44, 88, 100)
    pen.polygon(BODY, (0, 48), (50, 0), (100, 48))
    pen.block(DARK, 42, 66, 60, 100)
    pen.block(PALE, 20, 58, 34, 74)
    pen.block(PALE, 68, 58, 82, 74)


def _mug(pen: _Pen) -> None:
    pen.oval(BODY, 52, 26, 100, 80)
    pen.oval(NOTHING, 66, 40, 87, 66)
    pen.polygon(BODY, (2, 10), (74, 10), (72, 92), (64, 100), (12, 100), (4, 92))
    pen.oval(DARK, 2, 2, 74, 20)


def _rocket(pen: _Pen) -> None:
    pen.polygon(WOOD, (38, 84), (62, 84), (50, 100))
    pen.polygon(BODY, (30, 46), (4, 94), (36, 84))
    pen.polygon(BODY, (70, 46), (96, 94), (64, 84))
    pen.dome(BODY, 26, -2, 74, 84)
    pen.polygon(BODY, (26, 40), (74, 40), (66, 88), (34, 88))
    pen.oval(DARK, 38, 22, 62, 46)
    pen.oval(PALE, 42, 26, 58, 42)


def _star(pen: _Pen) -> None:
    outer = ((50, 0), (99, 37), (80, 95), (20, 95), (1, 37))
    inner = ((64, 33), (73, 59), (50, 76), (27, 59), (36, 33))
    pen.polygon(BODY, *(p for pair in zip(outer, inner, strict=True) for p in pair))


def _tree(pen: _Pen) -> None:
    pen.block(WOOD, 41, 80, 59, 100)
    pen.polygon(BODY, (50, 0), (82, 34), (18, 34))
    pen.polygon(BODY, (50, 14), (92, 60), (8, 60))
    pen.polygon(BODY, (50, 38), (100, 86), (0, 86))


def _umbrella(pen: _Pen) -> None:
    pen.dome(BODY, 0, 2, 100, 118)
    for x in (0, 34, 68):
        pen.oval(NOTHING, x, 52, x + 32, 70)
    pen.block(WOOD, 47, 52, 53, 92)
    pen.block(WOOD, 53, 86, 68, 92)
    pen.block(WOOD, 62, 78, 68, 92)


def _butterfly(pen: _Pen) -> None:
    pen.oval(BODY, 0, 8, 48, 60)
    pen.oval(BODY, 52, 8, 100, 60)
    pen.oval(BODY, 8, 50, 48, 96)
    pen.oval(BODY, 52, 50, 92, 96)
    pen.oval(DARK, 43, 10, 57, 94)


def _duck(pen: _Pen) -> None:
    pen.polygon(BODY, (62, 62), (100, 40), (92, 80))
    pen.oval(BODY, 14, 44, 94, 100)
    pen.oval(BODY, 12, 2, 60, 54)
    pen.polygon(WOOD, (16, 24), (-6, 34), (16, 42))
    pen.oval(DARK, 26, 18, 36, 28)


def _mushroom(pen: _Pen) -> None:
    pen.polygon(PALE, (36, 50), (64, 50), (70, 100), (30, 100))
    pen.dome(BODY, 0, 2, 100, 116)


def _teapot(pen: _Pen) -> None:
    pen.oval(BODY, 60, 34, 100, 84)
    pen.oval(NOTHING, 70, 44, 90, 74)
    pen.polygon(BODY, (28, 84), (0, 34), (12, 30), (34, 56))
    pen.oval(BODY, 16, 28, 82, 100)
    pen.oval(BODY, 30, 16, 68, 40)
    pen.oval(DARK, 43, 4, 55, 18)


def _bow(pen: _Pen, x: int, y: int) -> None:
    pen.polygon(ACCESSORY, (x, y - 4), (x - 24, y - 18), (x - 24, y + 10))
    pen.polygon(ACCESSORY, (x, y - 4), (x + 24, y - 18), (x + 24, y + 10))
    pen.oval(ACCESSORY, x - 7, y - 11, x + 7, y + 3)


def _crown(pen: _Pen, x: int, y: int) -> None:
    zigzag = ((-22, -22), (-11, -10), (0, -27), (11, -10), (22, -22))
    pen.polygon(ACCESSORY, (x - 19, y + 5), *((x + a, y + b) for a, b in zigzag), (x + 19, y + 5))


def _flag(pen: _Pen, x: int, y: int) -> None:
    pen.block(DARK, x - 3, y - 27, x + 1, y + 6)
    pen.polygon(ACCESSORY, (x + 2, y - 28), (x + 34, y - 17), (x + 2, y - 5))


_BODIES: dict[str, tuple[Callable[[_Pen], None], Point]] = {
    "ball": (_ball, (50, 6)),
    "bear": (_bear, (50, 4)),
    "boat": (_boat, (49, 5)),
    "bottle": (_bottle, (50, 2)),
    "car": (_car, (50, 23)),
    "chair": (_chair, (50, 2)),
    "fish": (_fish, (46, 10)),
    "hat": (_hat, (50, 9)),
    "house": (_house, (50, 5)),
    "mug": (_mug, (38, 5)),
    "rocket": (_rocket, (50, 2)),
    "star": (_star, (50, 6)),
    "tree": (_tree, (50, 5)),
    "umbrella": (_umbrella, (50, 4)),
    "butterfly": (_butterfly, (50, 13)),
    "duck": (_duck, (36, 5)),
    "mushroom": (_mushroom, (50, 4)),
    "teapot": (_teapot, (49, 7)),
}
_ACCESSORIES: dict[str, Callable[[_Pen, int, int], None]] = {
    "bow": _bow,
    "crown": _crown,
    "flag": _flag,
}


@dataclass(frozen=True)
class Drawing:
    """One category with or without an accessory.

    Attributes:
        materials: uint8 (side, side), values of `SpriteMaterial`, outlines included.
        accessory: bool (side, side), the accessory alone; all False without one.
    """

    materials: npt.NDArray[np.uint8]
    accessory: npt.NDArray[np.bool_]


@lru_cache(maxsize=256)
def draw(category: str, accessory: str | None, side: int) -> Drawing:
    """The drawing on a canvas of `side` x `side` pixels; cached, so read-only."""
    body, top = _BODIES[category]
    drawing, worn = _Pen(side), _Pen(side)
    body(drawing)
    if accessory:
        for pen in (drawing, worn):
            _ACCESSORIES[accessory](pen, *top)
    materials = np.array(drawing.image)
    materials[_edges(materials, side) & (materials != NOTHING)] = SpriteMaterial.OUTLINE
    materials.setflags(write=False)
    return Drawing(materials, np.asarray(worn.image) != NOTHING)


def _edges(materials: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.bool_]:
    """Pixels whose square window of `_OUTLINE` units has two materials; separable by axis."""
    reach = _OUTLINE * side // UNITS // 2
    high = low = materials
    for axis in (0, 1):
        around = [(reach, reach) if axis == a else (0, 0) for a in (0, 1)]
        high, low = np.pad(high, around, "edge"), np.pad(low, around, "edge")
        shifts = [[slice(None)] * axis + [slice(k, k + side)] for k in range(2 * reach + 1)]
        high = np.maximum.reduce([high[tuple(shift)] for shift in shifts])
        low = np.minimum.reduce([low[tuple(shift)] for shift in shifts])
    return high != low


@lru_cache(maxsize=16)
def pattern(name: str, side: int) -> npt.NDArray[np.bool_]:
    """Pixels of the second colour of a pattern: bool (side, side), cached, so read-only."""
    y, x = np.mgrid[0:side, 0:side] * UNITS // side
    match name:
        case "plain":
            mask = np.zeros((side, side), bool)
        case "stripes":
            mask = y % 22 < 11
        case "dots":
            row = y // 24
            mask = ((x + row % 2 * 12) % 24 - 12) ** 2 + (y % 24 - 12) ** 2 < 64
        case "checks":
            mask = (x // 19 + y // 19) % 2 == 0
        case "zigzags":
            mask = (y + abs(x % 36 - 18)) % 32 < 15
        case _:
            raise ValueError(f"there is no pattern {name!r}")
    mask.setflags(write=False)
    return mask
