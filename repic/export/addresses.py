"""Pictures of rows by address: which photo, which part of it, and how that part is changed.

    repic-picture://uri=file%3A%2F%2F%2Fphotos%2Fdog.jpg&size=640,480&crop=0.0,12.5,80.0,90.0/ID.png

It is a URL for fsspec, so that `datasets` and others read such a picture like any file: as a PNG of
what a model sees. The last part, a name, is what remains where bytes replace addresses; it is the
hash of the photo, which must have that content: an address in a stranger's dataset shows no photo
that its author does not have.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote_plus

import fsspec
from fsspec.spec import AbstractFileSystem

from repic.errors import PictureError
from repic.export import row_check
from repic.images.cache import PictureCache
from repic.images.fetch import ImageRefused

if TYPE_CHECKING:
    from PIL import Image

PROTOCOL = "repic-picture"
CHANNELS = 3

_CACHE = PictureCache(64, identified=True)
"""`datasets` decodes the first picture of a list twice."""


_quoted = lru_cache(4096)(quote_plus)  # a photo is in many rows


def address(entry: Mapping[str, Any]) -> str:
    """The address of an entry of an `images` column, or of the whole photo in a row with a URI."""
    parts = [f"uri={_quoted(entry['uri'])}", f"size={entry['width']},{entry['height']}"]
    if "crop" in entry:
        parts.append(f"crop={','.join(map(repr, entry['crop']))}")
    if entry.get("augmentation"):
        parts.append(f"changed={_quoted(json.dumps(entry['augmentation']))}")
    return f"{PROTOCOL}://{'&'.join(parts)}/{entry['image_id']}.png"


def entry_at(path: str) -> dict[str, Any]:
    """What `address` was given, as far as it determines the picture.

    Raises:
        PictureError: it is no such address.
    """
    parts, _, name = path.removeprefix(f"{PROTOCOL}://").rpartition("/")
    fields = dict(parse_qsl(parts))
    try:
        width, height = map(int, fields["size"].split(","))
        full = (0.0, 0.0, float(width), float(height))
        crop = tuple(map(float, fields["crop"].split(","))) if "crop" in fields else full
        entry = {
            "image_id": name.removesuffix(".png"),
            "uri": fields["uri"],
            "width": width,
            "height": height,
            "crop": crop,
            "augmentation": json.loads(fields.get("changed", "null")),
        }
    except (KeyError, ValueError, RecursionError) as error:
        raise PictureError(f"{path} is no address of a picture: make the rows again") from error
    if found := row_check.fault({**entry, "crop": [*crop]}, row_check.CheckedPicture):
        raise PictureError(f"{path} is no address of a picture ({found}): make the rows again")
    return entry


def picture_of(entry: Mapping[str, Any]) -> Image.Image:
    """An entry of an `images` column as a model sees it: RGB, upright, cropped, then changed.

    Raises:
        PictureError: the picture can no longer be read.
    """
    try:
        return _CACHE.picture(entry).copy()
    except (ValueError, OSError) as error:  # ValueError: the URI is none
        reason = error.message if isinstance(error, ImageRefused) else str(error)
        raise PictureError(
            f"{entry['uri']}: {reason}; put the photo back where it was, or build again without it"
        ) from error


def png_of(picture: Image.Image) -> bytes:
    """The pixels of a picture as a PNG file, without metadata."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


class PictureFileSystem(AbstractFileSystem):
    """Addresses as files that can only be read."""

    protocol = PROTOCOL
    root_marker = ""

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name and size; the size is that of the raw pixels, which a PNG hardly ever exceeds."""
        x1, y1, x2, y2 = entry_at(path)["crop"]
        size = round((x2 - x1) * (y2 - y1)) * CHANNELS
        return {"name": self._strip_protocol(path), "size": size, "type": "file"}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        if mode != "rb":
            raise PictureError(f"{path} can only be read: write to a file of your own")
        return io.BytesIO(png_of(picture_of(entry_at(path))))


fsspec.register_implementation(PROTOCOL, PictureFileSystem, clobber=True)
