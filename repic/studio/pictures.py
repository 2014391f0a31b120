"""Pictures of pages: parts of photos, by ids out of the tables of a version, as small JPEGs.

A photo is read from where its row says, its content is compared with its id, and it is decoded with
the limits of `repic.images`. Nothing of the file itself is passed on. What was made is kept by
content: id of the photo, part, and size.
"""

from __future__ import annotations

import io
from collections.abc import Hashable
from html import escape
from threading import BoundedSemaphore, Lock

from cachetools import LRUCache
from PIL import Image

from repic.errors import PictureError
from repic.images.decode import open_image
from repic.images.refusal import ImageRefused
from repic.report.pictures import PagePicture, part_of

SIDES = (96, 256, 512, 1280)
"""Longest sides that a page may ask for, in pixels."""

KEPT_BYTES = 96 << 20
"""JPEGs in memory; about 8,000 of 256 pixels."""

DECODED_BYTES = 192 << 20
"""Decoded photos in memory, of which a page shows several parts."""

AT_ONCE = 4
"""Photos that are decoded at the same time."""

QUALITY = 84
STRIPES = 64


class Thumbnails:
    """JPEGs of parts of photos; those used last are kept. Threads may share one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: LRUCache[Hashable, bytes] = LRUCache(KEPT_BYTES, getsizeof=len)
        self._photos: LRUCache[str, Image.Image] = LRUCache(DECODED_BYTES, getsizeof=_bytes)
        self._decoding = BoundedSemaphore(AT_ONCE)
        # Threads that want one photo at the same time decode it once.
        self._of_photo = [Lock() for _ in range(STRIPES)]

    def jpeg(self, shown: PagePicture, side: int) -> bytes:
        """A JPEG whose longer side is at most `side` pixels.

        Raises:
            PictureError: the photo is gone, has changed, or cannot be decoded.
        """
        key = (shown.image_id, shown.crop, shown.augmentation, side)
        with self._lock:
            if (found := self._made.get(key)) is not None:
                return found
        try:
            part = part_of(self._photo(shown), shown.crop, shown.augmentation)
            made = _encoded(part, side)
        except (ImageRefused, OSError, ValueError) as error:
            raise PictureError(f"{type(error).__name__}: {error}"[:300]) from error
        with self._lock:
            if len(made) <= KEPT_BYTES:
                self._made[key] = made
        return made

    def _photo(self, shown: PagePicture) -> Image.Image:
        with self._of_photo[hash(shown.image_id) % STRIPES]:
            with self._lock:
                if (photo := self._photos.get(shown.image_id)) is not None:
                    return photo
            with self._decoding:
                photo = open_image(shown.uri, image_id=shown.image_id)
            with self._lock:
                if _bytes(photo) <= DECODED_BYTES:
                    self._photos[shown.image_id] = photo
            return photo


def _bytes(photo: Image.Image) -> int:
    return 3 * photo.width * photo.height


def _encoded(picture: Image.Image, side: int) -> bytes:
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def frame(reason: str) -> str:
    """A picture (SVG) of a reason why there is none."""
    lines = [reason[start : start + 30] for start in range(0, min(len(reason), 150), 30)]
    texts = "".join(
        f'<text x="128" y="{70 + 18 * n}" text-anchor="middle">{escape(line)}</text>'
        for n, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 192" font-family="sans-serif" '
        f'font-size="13" fill="#888"><rect width="256" height="192" fill="#8883"/>{texts}</svg>'
    )
