"""Pictures on a page: which ones to show, their thumbnails, and the boxes drawn on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from PIL import Image

from repic.images import decode, uris
from repic.images.augmentation import Augmentation
from repic.images.fetch import ImageRefused
from repic.images.identity import read_identified

SIDE = 192
"""Longest side of a thumbnail in pixels."""
MAX_BYTES = 10_000
"""Of one JPEG. A page shows at most about 240 pictures: less than 3.5 MB as base64."""
QUALITIES = (84, 70, 50, 30)
READERS = 4

Box = tuple[float, float, float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class PagePicture:
    """A photo, or a part of one, that the page shows.

    Attributes:
        image_id: Id of the photo; a file whose content has changed since is not shown.
        uri: Address of the photo.
        crop: The part to show, xyxy in pixels of the upright photo; None shows all of it.
        augmentation: How that part is changed.
    """

    image_id: str
    uri: str
    crop: Box | None = None
    augmentation: Augmentation | None = None

    @property
    def name(self) -> str:
        """Folder and file name in readable form, with the fragment of the URI."""
        path, mark, fragment = self.uri.partition("#")
        return "/".join(unquote(path).rstrip("/").split("/")[-2:]) + mark + unquote(fragment)


@dataclass(frozen=True)
class BoxOverlay:
    """A box in percent of the sides of the picture that shows it."""

    left: float
    top: float
    width: float
    height: float
    main: bool = True

    @classmethod
    def of(cls, box: Sequence[float], part: Sequence[float], main: bool = True) -> BoxOverlay:
        """A box relative to the visible part of a photo, both xyxy in pixels."""
        width, height = max(1.0, part[2] - part[0]), max(1.0, part[3] - part[1])
        return cls(
            100 * (box[0] - part[0]) / width,
            100 * (box[1] - part[1]) / height,
            100 * (box[2] - box[0]) / width,
            100 * (box[3] - box[1]) / height,
            main,
        )


def box_of(row: Mapping[str, Any]) -> Box:
    """The box of a row of the objects table, xyxy in pixels."""
    return row["x1"], row["y1"], row["x2"], row["y2"]


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items at even distances, including the first and the last."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[len(items) // 2]]
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def diverse(items: Iterable[T], count: int, parts: Callable[[T], Iterable[Hashable]]) -> list[T]:
    """The first `count` items that share no part with an earlier one, then the first others.

    The result keeps the order of the items.
    """
    fresh: list[tuple[int, T]] = []
    repeated: list[tuple[int, T]] = []
    seen: set[Hashable] = set()
    for index, item in enumerate(items):
        own = set(parts(item))
        if seen.isdisjoint(own):
            seen |= own
            fresh.append((index, item))
            if len(fresh) == count:
                break
        elif len(repeated) < count:
            repeated.append((index, item))
    chosen = fresh + repeated[: count - len(fresh)]
    return [item for _, item in sorted(chosen, key=lambda entry: entry[0])]


@dataclass(frozen=True)
class _Thumbnail:
    """A data URI of width x height pixels, or the `reason` why there is none."""

    data: str
    width: int
    height: int
    reason: str = ""


def thumbnails(pictures: Iterable[PagePicture]) -> Mapping[PagePicture, _Thumbnail]:
    """A thumbnail of each picture. Each photo is read once, a few at a time."""
    photos: dict[tuple[str, str], list[PagePicture]] = {}
    for picture in dict.fromkeys(pictures):
        photos.setdefault((picture.image_id, picture.uri), []).append(picture)
    with ThreadPoolExecutor(READERS) as pool:
        results = pool.map(_of_photo, photos.values())
        return {picture: small for result in results for picture, small in result.items()}


def _of_photo(pictures: list[PagePicture]) -> dict[PagePicture, _Thumbnail]:
    try:
        photo = _open(pictures[0])
    except ImageRefused as refused:
        return dict.fromkeys(pictures, _missing(f"{refused.reason}: {refused.message}"))
    except Exception as error:  # a file system may raise anything, and the page must not fail
        return dict.fromkeys(pictures, _missing(str(error) or type(error).__name__))
    return {p: _thumbnail(photo, p.crop, p.augmentation) for p in pictures}


def _missing(reason: str) -> _Thumbnail:
    return _Thumbnail("", SIDE, SIDE * 3 // 4, reason[:160])


def _open(picture: PagePicture) -> Image.Image:
    data = read_identified(picture.uri, picture.image_id)
    return decode.decode(data, uris.Location.parse(picture.uri).region)


def _thumbnail(
    photo: Image.Image, crop: Box | None, augmentation: Augmentation | None
) -> _Thumbnail:
    small = part_of(photo, crop, augmentation)
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = _jpeg(small)
    return _Thumbnail(f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", *small.size)


def part_of(
    photo: Image.Image, crop: Box | None, augmentation: Augmentation | None = None
) -> Image.Image:
    """A copy of a part of a photo, at least one pixel, changed as an example says."""
    x1, y1, x2, y2 = crop or (0, 0, photo.width, photo.height)
    left, top = min(max(0, int(x1)), photo.width - 1), min(max(0, int(y1)), photo.height - 1)
    right, bottom = min(photo.width, round(x2)), min(photo.height, round(y2))
    part = photo.crop((left, top, max(left + 1, right), max(top + 1, bottom)))
    return augmentation.apply(part) if augmentation else part


def _jpeg(picture: Image.Image) -> bytes:
    """The first quality that is small enough; the lowest fits even noise of this size."""
    for quality in QUALITIES:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= MAX_BYTES:
            break
    return file.getvalue()
