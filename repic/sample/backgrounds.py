"""Backgrounds: procedural textures, muted so that objects stand out.

Only elementwise sums and products of floats, no sines and no reductions: IEEE 754 defines their
result to the bit on every machine, while library functions may differ in the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from repic.sample.seeds import generator

Field = npt.NDArray[np.floating]
VARIANTS = 4

PLACES = {
    "grass": "on grass",
    "sand": "on sand",
    "snow": "on snow",
    "wood": "on a wooden floor",
    "water": "on water",
    "brick": "in front of a brick wall",
    "tiles": "on tiles",
    "carpet": "on a carpet",
    "gravel": "on gravel",
    "sky": "against a cloudy sky",
}
HARD_PLACES = {
    "marble": "on marble",
    "earth": "on cracked earth",
    "cobbles": "on cobblestones",
    "metal": "on corrugated metal",
}


class _Canvas:
    """Coordinates and noise for drawing a texture."""

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        self.side = side
        self.rng = rng
        self.y, self.x = (a.astype(np.float32) / side for a in np.mgrid[0:side, 0:side])

    def noise(self, cells: int) -> Field:
        """Smooth noise in [0, 1] with `cells` random values on a side."""
        grey = self.rng.integers(0, 256, (cells, cells), np.uint8)
        smooth = Image.fromarray(grey).resize((self.side, self.side), Image.Resampling.BICUBIC)
        return np.asarray(smooth).astype(np.float32) / np.float32(255)

    def clouds(self) -> Field:
        """Noise of three scales, in [0, 1]."""
        return self.noise(5) * 0.5 + self.noise(14) * 0.3 + self.noise(48) * 0.2

    def grain(self) -> Field:
        """Per-pixel noise in [0, 1]."""
        return self.noise(self.side)

    def stones(self, cells: int) -> tuple[Field, Field]:
        """Voronoi cells of jittered points: gap to the second nearest point, and a value per cell.

        The gap is 0 on an edge between two cells and grows to about 1 inside.
        """
        jitter = self.rng.integers(0, 1024, (2, cells, cells)).astype(np.float32) / 1024
        values = self.rng.integers(0, 256, (cells, cells)).astype(np.float32) / 255
        x, y = self.x * cells, self.y * cells
        column, row = x.astype(np.int32), y.astype(np.int32)
        first = np.full((self.side, self.side), 9, np.float32)
        second, value = first.copy(), np.zeros_like(first)
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                i, j = (row + down) % cells, (column + across) % cells
                away = (column + across + jitter[0, i, j] - x) ** 2
                away += (row + down + jitter[1, i, j] - y) ** 2
                second = np.minimum(second, np.maximum(first, away))
                value = np.where(away < first, values[i, j], value)
                first = np.minimum(first, away)
        return second - first, value


def _wave(phase: Field) -> Field:
    """A smooth wave in [0, 1] of period 1: a smoothstep of a triangle."""
    saw = phase - np.floor(phase)
    triangle = np.abs(saw * 2 - 1)
    return triangle * triangle * (3 - 2 * triangle)


def _grass(c: _Canvas) -> Field:
    blades = c.noise(c.side // 2) * 0.5 + c.grain() * 0.3
    return c.clouds() * 0.45 + blades * 0.75


def _sand(c: _Canvas) -> Field:
    return c.clouds() * 0.4 + _wave(c.y * 9 + c.noise(5) * 1.6) * 0.18 + c.grain() * 0.2 + 0.2


def _snow(c: _Canvas) -> Field:
    return c.clouds() * 0.5 + c.grain() * 0.08 + 0.3


def _wood(c: _Canvas) -> Field:
    board = np.floor(c.x * 6)
    fibre = _wave(c.x * 26 + board * 0.37 + c.noise(4) * 2) * 0.35 + c.noise(60) * 0.2
    seam = (c.x * 6 - board < 0.05) * np.float32(0.5)
    return fibre + (board * 0.618 % 1) * 0.25 + 0.3 - seam


def _water(c: _Canvas) -> Field:
    return _wave(c.y * 16 + c.noise(8) * 2.5) * 0.4 + c.clouds() * 0.4 + 0.1


def _joints(c: _Canvas, across: int, down: int, shift: float, width: float) -> Field:
    row = np.floor(c.y * down)
    x = c.x * across + row % 2 * np.float32(shift)
    thin = (c.y * down - row < width) | (x - np.floor(x) < width * across / down)
    return thin.astype(np.float32)


def _brick(c: _Canvas) -> Field:
    row = np.floor(c.y * 14)
    stone = np.floor(c.x * 6 + row % 2 * np.float32(0.5))
    tone = (row * 0.731 + stone * 0.417) % 1
    body = c.clouds() * 0.3 + tone * 0.22 + c.grain() * 0.12 + 0.1
    return np.where(_joints(c, 6, 14, 0.5, 0.14) > 0, np.float32(0.95), body)


def _tiles(c: _Canvas) -> Field:
    body = c.clouds() * 0.25 + 0.55
    return np.where(_joints(c, 6, 6, 0, 0.06) > 0, np.float32(0.1), body)


def _carpet(c: _Canvas) -> Field:
    weave = _wave(c.x * 40) * _wave(c.y * 40)
    return weave * 0.4 + c.clouds() * 0.3 + c.grain() * 0.2 + 0.1


def _gravel(c: _Canvas) -> Field:
    gap, value = c.stones(26)
    return np.minimum(gap * 2, 1) * 0.5 + value * 0.35 + c.grain() * 0.1


def _sky(c: _Canvas) -> Field:
    cloud = c.noise(4) * 0.45 + c.noise(9) * 0.35 + c.noise(22) * 0.2
    return np.clip((cloud - 0.35) * 3, 0, 1)


def _marble(c: _Canvas) -> Field:
    vein = _wave(c.x * 2 + c.y * 3 + c.noise(5) * 1.6 + c.noise(16) * 0.3)
    return 1 - (1 - vein) ** 2 * (1 - vein) ** 2 * 0.8 - c.noise(12) * 0.15


def _earth(c: _Canvas) -> Field:
    gap, value = c.stones(9)
    return np.where(gap < 0.08, np.float32(0), value * 0.7 + 0.2) + c.grain() * 0.12


def _cobbles(c: _Canvas) -> Field:
    gap, value = c.stones(12)
    return np.minimum(gap * 1.6, 0.6) + value * 0.25 + c.grain() * 0.08


def _metal(c: _Canvas) -> Field:
    return _wave(c.x * 14) * 0.7 + c.clouds() * 0.25


_Paint = tuple[Callable[[_Canvas], Field], tuple[int, int, int], tuple[int, int, int]]
_PAINTS: dict[str, _Paint] = {
    "grass": (_grass, (58, 84, 44), (132, 152, 92)),
    "sand": (_sand, (172, 148, 106), (224, 206, 166)),
    "snow": (_snow, (186, 194, 206), (246, 248, 252)),
    "wood": (_wood, (92, 62, 42), (176, 132, 94)),
    "water": (_water, (62, 92, 116), (138, 168, 186)),
    "brick": (_brick, (128, 78, 66), (196, 172, 160)),
    "tiles": (_tiles, (108, 112, 110), (206, 210, 200)),
    "carpet": (_carpet, (66, 52, 62), (134, 112, 122)),
    "gravel": (_gravel, (74, 72, 70), (172, 168, 162)),
    "sky": (_sky, (124, 154, 188), (226, 230, 234)),
    "marble": (_marble, (110, 104, 108), (232, 226, 220)),
    "earth": (_earth, (58, 44, 32), (170, 124, 78)),
    "cobbles": (_cobbles, (50, 52, 58), (140, 142, 150)),
    "metal": (_metal, (96, 104, 112), (188, 194, 200)),
}


@lru_cache(maxsize=64)
def texture(name: str, side: int, world_seed: int, variant: int) -> Image.Image:
    """An RGB texture of `side` x `side` pixels; the image is cached, do not draw on it.

    Args:
        variant: 0 to `VARIANTS` - 1.

    Raises:
        ValueError: there is no background of this name.
    """
    if name not in _PAINTS:
        raise ValueError(f"there is no background {name!r}; one of: {', '.join(_PAINTS)}")
    paint, low, high = _PAINTS[name]
    tone = paint(_Canvas(side, generator("texture", name, side, world_seed, variant)))
    tone = np.clip(tone, 0, 1)[..., None]
    mixed = np.array(low, np.float32) * (1 - tone) + np.array(high, np.float32) * tone
    return Image.fromarray(mixed.astype(np.uint8))
