"""A changed copy of a crop: mirrored, scaled and in other colours, as a row of examples says.

All numbers are whole percents, so that a row read from a table renders the same pixels as the one
that was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image, ImageEnhance, ImageOps

NEUTRAL = 100
"""Percent that changes nothing."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How a picture is changed after it is cropped.

    Attributes:
        mirrored: Whether left and right are exchanged.
        scale: Width and height, in percent of the crop's.
        brightness: Percent of the crop's, as `PIL.ImageEnhance` defines it; `contrast` and
            `saturation` likewise.
    """

    mirrored: bool
    scale: int
    brightness: int
    contrast: int
    saturation: int

    @classmethod
    def of(cls, picture: Mapping[str, Any]) -> Augmentation | None:
        """That of an entry of the `images` column; rows of older versions have none."""
        entry = picture.get("augmentation")
        return None if entry is None else cls(**entry)

    def as_entry(self) -> dict[str, Any]:
        """The form used in tables."""
        return asdict(self)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the changed picture in pixels, at least 1."""
        return max(1, round(width * self.scale / 100)), max(1, round(height * self.scale / 100))

    def apply(self, image: Image.Image) -> Image.Image:
        """The changed picture; the given one stays."""
        changed = ImageOps.mirror(image) if self.mirrored else image
        changed = changed.resize(self.size(*image.size), Image.Resampling.BICUBIC)
        for enhance, percent in (
            (ImageEnhance.Brightness, self.brightness),
            (ImageEnhance.Contrast, self.contrast),
            (ImageEnhance.Color, self.saturation),
        ):
            if percent != NEUTRAL:
                changed = enhance(changed).enhance(percent / 100)
        return changed
