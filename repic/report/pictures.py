"""Photos and crops as small pictures inside the page; where one is gone, the reason."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

from PIL import Image

from repic.images import decode, uris
from repic.images.fetch import ImageRefused, read_bytes
from repic.pipeline.scan import image_id_of

SIDE = 192
"""Most pixels of a side."""
MOST_BYTES = 10_000
"""Of one JPEG: a page shows at most about 240, which are then below 3.5 MB as base64."""
QUALITIES = (84, 70, 50, 30)
READERS = 4


@dataclass(frozen=True)
class Shot:
    """A picture that the page shows.

    Attributes:
        image_id: The photo; a file that by now holds another photo is not shown.
        uri: Where it is.
        crop: The part to show, xyxy pixels of the upright photo; None is all of it.
    """

    image_id: str
    uri: str
    crop: tuple[float, float, float, float] | None = None

    @property
    def name(self) -> str:
        """Folder and file name for a person, and which part of the file is meant."""
        place, mark, part = self.uri.partition("#")
        return "/".join(unquote(place).rstrip("/").split("/")[-2:]) + mark + unquote(part)


@dataclass(frozen=True)
class Thumbnail:
    """A small picture: a data URI of width x height pixels, or the `reason` why there is none."""

    data: str
    width: int
    height: int
    reason: str = ""


def develop(shots: Iterable[Shot]) -> Mapping[Shot, Thumbnail]:
    """A thumbnail of each shot. Each photo is read once, a few at a time."""
    photos: dict[tuple[str, str], list[Shot]] = {}
    for shot in dict.fromkeys(shots):
        photos.setdefault((shot.image_id, shot.uri), []).append(shot)
    with ThreadPoolExecutor(READERS) as pool:
        made = pool.map(_of_photo, photos.values())
        return {shot: thumbnail for found in made for shot, thumbnail in found.items()}


def _of_photo(shots: list[Shot]) -> dict[Shot, Thumbnail]:
    try:
        photo = _open(shots[0])
    except ImageRefused as refused:
        return dict.fromkeys(shots, _missing(f"{refused.reason}: {refused.message}"))
    except Exception as error:  # file systems of others raise what they like, and a page must come
        return dict.fromkeys(shots, _missing(str(error) or type(error).__name__))
    return {shot: _thumbnail(photo, shot.crop) for shot in shots}


def _missing(reason: str) -> Thumbnail:
    return Thumbnail("", SIDE, SIDE * 3 // 4, reason[:160])


def _open(shot: Shot) -> Image.Image:
    data = read_bytes(shot.uri)
    region = uris.Location.parse(shot.uri).region
    if image_id_of(hashlib.sha256(data).hexdigest(), region) != shot.image_id:
        raise ImageRefused("changed", "another photo is there since the build")
    return decode.decode(data, region)


def _thumbnail(photo: Image.Image, crop: tuple[float, float, float, float] | None) -> Thumbnail:
    x1, y1, x2, y2 = crop or (0, 0, photo.width, photo.height)
    left, top = min(max(0, int(x1)), photo.width - 1), min(max(0, int(y1)), photo.height - 1)
    right, bottom = min(photo.width, round(x2)), min(photo.height, round(y2))
    small = photo.crop((left, top, max(left + 1, right), max(top + 1, bottom)))
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = _jpeg(small)
    return Thumbnail(f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", *small.size)


def _jpeg(picture: Image.Image) -> bytes:
    """The first quality that is small enough; the lowest one fits even noise of this size."""
    for quality in QUALITIES:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()
