"""Rendering of one photo: objects, background, occlusion and light, with exact ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from repic.images.coordinates import Box
from repic.sample import backgrounds
from repic.sample.identities import Identity
from repic.sample.seeds import generator
from repic.sample.sprites import Patch, Pose, patch, tight

MAX_OBJECTS = 4
MIN_VISIBLE = 0.55
"""Minimum visible share of the pixels of each object."""

_SCALES = {1: (0.44, 0.74), 2: (0.33, 0.50), 3: (0.28, 0.40), 4: (0.26, 0.34)}
"""Range of the height of a body as a share of the photo, by the number of objects."""
_CUT_BY_FRAME = 0.15
_PUT_BEHIND = 0.25
_BLURRED = 0.2
_TRIES = 24
_BARRIERS = ((112, 104, 96), (88, 92, 98), (126, 112, 92), (74, 70, 68), (150, 148, 142))

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class WorldObject:
    """One object of a photo, as visible in it.

    Attributes:
        identity: The object.
        box: The tight box of `mask`, whole pixels.
        mask: bool (size, size), the pixels that show it.
        visible_share: Visible pixels over all its pixels, including those outside the frame.
        truncated: The frame cuts it.
        occluded: Something inside the frame hides at least one of its pixels.
        shows_accessory: At least half of its accessory is visible; False without one.
        expressions: Phrases that match only this object in the photo, shortest first.
    """

    identity: Identity
    box: Box
    mask: Mask
    visible_share: float
    truncated: bool
    occluded: bool
    shows_accessory: bool
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Placed:
    """A patch with its upper left corner at (x, y), possibly outside the frame."""

    patch: Patch
    x: int
    y: int

    def on_frame(self, size: int, values: npt.NDArray, dx: int = 0, dy: int = 0) -> _Overlap:
        """Overlap of the frame with `values` (h, w, ...), shifted by (dx, dy) pixels."""
        height, width = values.shape[:2]
        x, y = self.x + dx, self.y + dy
        x1, y1 = max(0, x), max(0, y)
        x2, y2 = min(size, x + width), min(size, y + height)
        window = (slice(y1, max(y1, y2)), slice(x1, max(x1, x2)))
        inside = (slice(y1 - y, max(y1, y2) - y), slice(x1 - x, max(x1, x2) - x))
        return window, values[inside]

    def mask(self, size: int, part: Mask) -> Mask:
        frame_mask = np.zeros((size, size), bool)
        window, values = self.on_frame(size, part)
        frame_mask[window] = values
        return frame_mask


_Overlap = tuple[tuple[slice, slice], npt.NDArray]


def render(
    identities: Sequence[Identity],
    background: str,
    size: int,
    world_seed: int,
    rng: np.random.Generator,
) -> tuple[Image.Image, list[WorldObject]]:
    """An RGB photo of `size` x `size` pixels, and its objects in the order of `identities`."""
    frame = _background(background, size, world_seed, rng)
    depth = [int(i) for i in rng.permutation(len(identities))]
    placed, masks = _arrange(identities, depth, size, rng)
    for i in depth:
        _paint(frame, placed[i], size)
    if rng.random() < _PUT_BEHIND:
        barrier = _barrier(masks[int(rng.integers(len(masks)))], size, rng)
        after = [mask & ~barrier for mask in masks]
        if all(
            m.sum() >= MIN_VISIBLE * p.patch.mask.sum() for m, p in zip(after, placed, strict=True)
        ):
            frame[barrier] = _BARRIERS[int(rng.integers(len(_BARRIERS)))]
            masks = after
    objects = [_seen(i, p, m) for i, p, m in zip(identities, placed, masks, strict=True)]
    return _expose(frame, size, rng), objects


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _background(name: str, size: int, world_seed: int, rng: np.random.Generator) -> Pixels:
    side = 2 * size
    variant = int(rng.integers(backgrounds.VARIANTS))
    texture = backgrounds.texture(name, side, world_seed, variant)
    width = int(rng.integers(size * 3 // 4, size * 7 // 4))
    x, y = (int(v) for v in rng.integers(0, side - width, 2))
    crop = texture.resize((size, size), Image.Resampling.BILINEAR, (x, y, x + width, y + width))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(crop)


def _arrange(
    identities: Sequence[Identity], depth: list[int], size: int, rng: np.random.Generator
) -> tuple[list[_Placed], list[Mask]]:
    """Positions and visible masks; if objects hide each other too much, retry with smaller ones."""
    low, high = _SCALES[len(identities)]
    shrink = 1.0
    while True:
        placed: list[_Placed] = []
        for identity in identities:
            pose = Pose(
                scale=max(6.0, size * shrink * _uniform(rng, low, high)),
                degrees=int(rng.integers(-20, 21)),
                stretch=_uniform(rng, 0.88, 1.12),
                flip=bool(rng.random() < 0.5),
            )
            placed.append(_place(patch(identity, pose, size), placed, size, rng))
        masks = _visible(placed, depth, size)
        if all(
            m.sum() >= MIN_VISIBLE * p.patch.mask.sum() for m, p in zip(masks, placed, strict=True)
        ):
            return placed, masks
        shrink *= 0.9


def _place(new: Patch, others: list[_Placed], size: int, rng: np.random.Generator) -> _Placed:
    """The first of `_TRIES` random positions with little overlap, or the one with the least."""
    height, width = new.mask.shape
    slack = 0.3 if rng.random() < _CUT_BY_FRAME else 0.0
    best, least = _Placed(new, 0, 0), float("inf")
    for _ in range(_TRIES):
        x = _position(rng, width, size, slack)
        y = _position(rng, height, size, slack)
        overlap = max((_overlap(x, y, width, height, other) for other in others), default=0.0)
        if overlap < least:
            best, least = _Placed(new, x, y), overlap
        if overlap < 0.12:
            break
    return best


def _position(rng: np.random.Generator, length: int, size: int, slack: float) -> int:
    low, high = -int(slack * length), size - length + int(slack * length)
    return int(rng.integers(min(low, high), max(low, high) + 1))


def _overlap(x: int, y: int, width: int, height: int, other: _Placed) -> float:
    """Intersection of two boxes over the area of the smaller one."""
    tall, wide = other.patch.mask.shape
    across = max(0, min(x + width, other.x + wide) - max(x, other.x))
    down = max(0, min(y + height, other.y + tall) - max(y, other.y))
    return across * down / min(width * height, wide * tall)


def _visible(placed: list[_Placed], depth: list[int], size: int) -> list[Mask]:
    masks = [p.mask(size, p.patch.mask) for p in placed]
    nearer = np.zeros((size, size), bool)
    for i in reversed(depth):
        masks[i], nearer = masks[i] & ~nearer, nearer | masks[i]
    return masks


def _paint(frame: Pixels, placed: _Placed, size: int) -> None:
    """Draw a soft shadow, then the object, into the frame."""
    drop = max(1, size // 56)
    window, alpha = placed.on_frame(size, placed.patch.alpha, drop, drop)
    ground = frame[window].astype(np.uint16)
    frame[window] = ground * (256 - alpha[..., None].astype(np.uint16) * 3 // 8) >> 8
    window, alpha = placed.on_frame(size, placed.patch.alpha)
    _, colour = placed.on_frame(size, placed.patch.colour)
    behind = frame[window] * (255 - alpha[..., None].astype(np.uint16)) // 255
    frame[window] = np.minimum(behind + colour, 255)


def _barrier(visible: Mask, size: int, rng: np.random.Generator) -> Mask:
    """A slanted bar over one side of an object: bool (size, size)."""
    rows, columns = tight(visible)
    side = int(rng.integers(4))
    along, across = (rows, columns) if side < 2 else (columns, rows)
    reach = across.stop - across.start
    depth = max(2, int(reach * _uniform(rng, 0.12, 0.3)))
    lean = int(reach * _uniform(rng, -0.1, 0.1))
    if side % 2:
        near, far = across.stop - depth, across.stop + 3
    else:
        near, far = across.start + depth, across.start - 3
    overhang = int(reach * _uniform(rng, 0.05, 0.4)) + 2
    start, stop = along.start - overhang, along.stop + overhang
    corners = [(near - lean, start), (near + lean, stop), (far + lean, stop), (far - lean, start)]
    if side >= 2:
        corners = [(y, x) for x, y in corners]
    canvas = Image.new("1", (size, size))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    return np.asarray(canvas)


def _seen(identity: Identity, placed: _Placed, shown: Mask) -> WorldObject:
    size = shown.shape[0]
    total, visible = int(placed.patch.mask.sum()), int(shown.sum())
    inside = int(placed.mask(size, placed.patch.mask).sum())
    rows, columns = tight(shown)
    worn = int(placed.patch.accessory.sum())
    worn_seen = int((placed.mask(size, placed.patch.accessory) & shown).sum())
    return WorldObject(
        identity=identity,
        box=Box(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)),
        mask=shown,
        visible_share=visible / total,
        truncated=inside < total,
        occluded=visible < inside,
        shows_accessory=worn > 0 and worn_seen * 2 >= worn,
    )


def _expose(frame: Pixels, size: int, rng: np.random.Generator) -> Image.Image:
    """Apply brightness, tint, a light gradient, sometimes blur, and sensor noise."""
    gain = _uniform(rng, 0.78, 1.12) * (0.94 + 0.12 * rng.random(3)).astype(np.float32)
    start, stop = _uniform(rng, 0.86, 1.08), _uniform(rng, 0.86, 1.08)
    ramp = (start + (stop - start) * np.arange(size) / size).astype(np.float32)[
        :, None, None
    ] * gain
    if rng.random() < 0.5:
        ramp = ramp.transpose(1, 0, 2)
    tile = _noise(size)
    x, y = (int(v) for v in rng.integers(0, size, 2))
    amplitude = np.float32(_uniform(rng, 0.3, 1.0))
    soft = rng.random() < _BLURRED
    lit = frame * ramp + tile[y : y + size, x : x + size] * amplitude
    image = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    return image.filter(ImageFilter.BoxBlur(size / 336)) if soft else image


@lru_cache(maxsize=4)
def _noise(size: int) -> npt.NDArray[np.float32]:
    """Noise of about +-12 grey levels, a sum of uniform noise: float32 (2 size, 2 size, 3)."""
    draws = generator("noise", size).integers(-4, 5, (4, 2 * size, 2 * size, 3), np.int8)
    return (draws[0] + draws[1] + draws[2] + draws[3]).astype(np.float32)
