"""Decoded pictures of example rows, cached in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock
from typing import Any

from cachetools import LRUCache, cachedmethod
from PIL import Image

from repic.images.augmentation import Augmentation
from repic.images.coordinates import Box, reduced
from repic.images.decode import open_image
from repic.images.fetch import ImageRefused

log = logging.getLogger(__name__)

CAPACITY = 256
"""Pictures of one generation batch, which TRL requests again."""

GREY = (128, 128, 128)


def _key(_cache: PictureCache, picture: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        picture["uri"],
        picture.get("image_id"),
        tuple(picture["crop"]),
        Augmentation.of(picture),
        picture.get("short_side"),
    )


class PictureCache:
    """The most recently used pictures, decoded. Threads may share one."""

    def __init__(self, capacity: int = CAPACITY, identified: bool = False) -> None:
        """Args: identified: Refuse photos whose content is not what their id says."""
        self._capacity = capacity
        self._identified = identified
        self._lock = Lock()
        self._pictures: LRUCache[tuple[Any, ...], Image.Image] = LRUCache(capacity)

    def __reduce__(self) -> tuple[type[PictureCache], tuple[int, bool]]:
        # `datasets` hashes a transform by pickling it, and workers start with an empty cache.
        return PictureCache, (self._capacity, self._identified)

    def of_row(self, row: Mapping[str, Any]) -> tuple[list[Image.Image], str | None]:
        """Pictures of an example row in prompt order, and why one is unreadable, else None.

        An unreadable picture is replaced by a grey one of its size so that training continues; the
        caller must not score the answer.
        """
        pictures, reason = [], None
        for picture in row["images"]:
            try:
                pictures.append(self.picture(picture))
            except (ImageRefused, OSError) as error:
                reason = f"{picture['uri']}: {error}"
                log.warning("a picture of example %s is gone: %s", row["example_id"], reason)
                x1, y1, x2, y2 = picture["crop"]
                size = (max(1, round(x2 - x1)), max(1, round(y2 - y1)))
                if augmentation := Augmentation.of(picture):
                    size = augmentation.size(*size)
                shown = reduced(*size, picture.get("short_side"))
                pictures.append(Image.new("RGB", shown, GREY))
        return pictures, reason

    @cachedmethod(lambda self: self._pictures, key=_key, lock=lambda self: self._lock)
    def picture(self, picture: Mapping[str, Any]) -> Image.Image:
        """One entry of the `images` column: RGB, upright, cropped, then augmented.

        Its shorter side is reduced to `short_side` pixels if the entry has one.

        Raises:
            ImageRefused, OSError: the picture can no longer be read.
        """
        crop = tuple(picture["crop"])
        full = (0.0, 0.0, float(picture["width"]), float(picture["height"]))
        image_id = picture["image_id"] if self._identified else None
        image = open_image(picture["uri"], None if crop == full else Box.of(crop), image_id)
        if augmentation := Augmentation.of(picture):
            image = augmentation.apply(image)
        size = reduced(*image.size, picture.get("short_side"))
        return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
