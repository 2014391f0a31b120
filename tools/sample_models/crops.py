"""Labelled crops of generated photos, with edges like those of a detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from repic.images.coordinates import Box
from repic.sample.identities import CATEGORIES, COLOURS, PAINTS, WORN, Identity
from repic.sample.world import WorldPhoto

SIDE = 64
"""Side in pixels of a resized crop."""
SIZES = (len(CATEGORIES), len(COLOURS), len(PAINTS), len(WORN))
HIDDEN = -1
"""Label of an accessory that is not visible."""
_JITTER = 0.03
"""Standard deviation of a detected edge, in shares of the box's side."""


@dataclass(frozen=True)
class Crops:
    """n crops.

    Attributes:
        pixels: uint8 (n, SIDE, SIDE, 3).
        identity: int64 (n,), indexes into `identities`.
        attributes: int64 (n, 4), indexes into `CATEGORIES`, `COLOURS`, `PAINTS` and `WORN`; the
            last is `HIDDEN` if the crop does not show it.
        identities: Identities of the crops.
    """

    pixels: np.ndarray
    identity: np.ndarray
    attributes: np.ndarray
    identities: tuple[Identity, ...]

    def take(self, rows: np.ndarray) -> Crops:
        """The crops at these indexes."""
        return Crops(self.pixels[rows], self.identity[rows], self.attributes[rows], self.identities)

    def facts(self) -> Iterator[tuple[Identity, bool]]:
        """Per crop: its identity, and whether its accessory, if any, is visible."""
        for i, worn in zip(self.identity.tolist(), self.attributes[:, -1].tolist(), strict=True):
            yield self.identities[i], worn != HIDDEN

    def in_families(self, rng: np.random.Generator) -> list[int]:
        """Indexes of all identities in random order, grouped by category and colour."""
        families: dict[tuple[str, str], list[int]] = {}
        for i in rng.permutation(len(self.identities)).tolist():
            one = self.identities[i]
            families.setdefault((one.category, one.colour), []).append(i)
        return [i for family in families.values() for i in family]


def attributes_of(identity: Identity, shows_accessory: bool) -> tuple[int, int, int, int]:
    """Indexes of the attributes of an identity, see `Crops`."""
    shown = shows_accessory or identity.accessory is None
    return (
        CATEGORIES.index(identity.category),
        list(COLOURS).index(identity.colour),
        PAINTS.index((identity.pattern, identity.second_colour)),
        WORN.index(identity.accessory) if shown else HIDDEN,
    )


def cut(photos: Iterable[WorldPhoto], rng: np.random.Generator) -> Crops:
    """One crop per object, with edges jittered like those of a detector."""
    pixels, identity, attributes = [], [], []
    index_of: dict[Identity, int] = {}
    for photo in photos:
        for item in photo.objects:
            pixels.append(resized(photo.image, _jittered(item.box, photo.image.width, rng)))
            identity.append(index_of.setdefault(item.identity, len(index_of)))
            attributes.append(attributes_of(item.identity, item.shows_accessory))
    return Crops(np.stack(pixels), np.array(identity), np.array(attributes), tuple(index_of))


def resized(image: Image.Image, box: Box) -> np.ndarray:
    """The content of a box, resized to a square: uint8 (SIDE, SIDE, 3)."""
    corners = tuple(round(v) for v in box.as_list())
    part = image.crop((corners[0], corners[1], corners[2], corners[3]))
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _jittered(box: Box, side: int, rng: np.random.Generator) -> Box:
    width, height = box.width * _JITTER, box.height * _JITTER
    offsets = rng.normal(size=4) * (width, height, width, height)
    return Box.of([v + offset for v, offset in zip(box.as_list(), offsets, strict=True)]).clip(
        side, side
    )
