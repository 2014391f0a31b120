"""Pictures of exported rows: what the model is trained on, pixel for pixel.

A whole photo is written as its own file without metadata wherever a plain reader sees the same
pixels in that; everything else (crops, changed pictures, photos with an EXIF orientation or a
colour profile) becomes a PNG.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachetools import LRUCache
from PIL import Image

from repic.export.metadata import without_metadata
from repic.export.target import PictureMode
from repic.images import uris
from repic.images.cache import PictureCache
from repic.images.coordinates import Box
from repic.images.formats import HEAD_BYTES, sniff
from repic.images.identity import read_identified
from storage.hashing import fingerprint

FOLDER = "images"
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Of the files that every trainer reads; others are written as PNG."""
MOST_BYTES = 64 << 20
"""Encoded pictures that are kept for the next rows."""
ORIENTATION = 0x0112


@dataclass(frozen=True)
class ExportPicture:
    """A picture as it is exported.

    Attributes:
        name: Name of a file for it, the same for the same picture.
        data: The file; None where `path` is set.
        path: Path relative to the folder of the export, or the absolute path of the photo; None
            where the picture is embedded.
    """

    name: str
    data: bytes | None = None
    path: str | None = None


class PictureWriter:
    """Embeds, copies or points to pictures; each file is written once."""

    def __init__(self, folder: Path, mode: PictureMode, keep_exif: bool) -> None:
        """Args: folder: Of the export; copies go to `images/` in it."""
        self.folder = folder
        self.mode = mode
        self.keep_exif = keep_exif
        self._pictures = PictureCache(64, identified=True)
        self._done: LRUCache[str, ExportPicture] = LRUCache(MOST_BYTES, _weight)

    def export(self, entry: Mapping[str, Any]) -> ExportPicture:
        """An entry of the `images` column.

        Raises:
            ImageRefused, OSError: the picture can no longer be read.
        """
        key = fingerprint([entry["image_id"], [*entry["crop"]], entry.get("augmentation")])
        if key not in self._done:
            exported = self._export(key, entry)
            if _weight(exported) > MOST_BYTES:
                return exported
            self._done[key] = exported
        return self._done[key]

    def _export(self, key: str, entry: Mapping[str, Any]) -> ExportPicture:
        picture = self._pictures.picture(entry)
        original = None
        if _is_whole_file(entry):
            original = read_identified(entry["uri"], entry["image_id"])
        if self.mode == "reference" and original is not None:
            location = uris.Location.parse(entry["uri"])
            if location.url.startswith("file://") and _shows(original, picture):
                path = uris.file_path(location.url)
                return ExportPicture(Path(path).name, path=path)
        data, extension = self._file(picture, original)
        name = f"{key}.{extension}"
        if self.mode == "embed":
            return ExportPicture(name, data=data)
        path = f"{FOLDER}/{key[:2]}/{name}"
        target = self.folder / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return ExportPicture(name, path=path)

    def _file(self, picture: Image.Image, original: bytes | None) -> tuple[bytes, str]:
        """The bytes of a picture, and the extension of their format."""
        for file in self._candidates(original):
            kind = sniff(file[:HEAD_BYTES])
            if kind in EXTENSIONS and _shows(file, picture):
                return file, EXTENSIONS[kind]
        exif = _exif(original) if original is not None and self.keep_exif else None
        png = io.BytesIO()
        picture.save(png, "PNG", compress_level=4, **({"exif": exif} if exif else {}))
        return png.getvalue(), "png"

    def _candidates(self, original: bytes | None) -> Iterator[bytes]:
        if original is None:
            return
        if self.keep_exif:
            yield original
        elif (stripped := without_metadata(original)) is not None:
            yield stripped


def whole(image: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table `images` as an entry of the `images` column: the whole photo."""
    return {
        **{key: image[key] for key in ("image_id", "uri", "width", "height")},
        "crop": Box(0.0, 0.0, image["width"], image["height"]).as_list(),
        "augmentation": None,
    }


def _weight(picture: ExportPicture) -> int:
    return 256 + len(picture.data or b"")


def _is_whole_file(entry: Mapping[str, Any]) -> bool:
    full = [0.0, 0.0, float(entry["width"]), float(entry["height"])]
    return (
        [*entry["crop"]] == full
        and entry.get("augmentation") is None
        and uris.Location.parse(entry["uri"]).region is None
    )


def _shows(file: bytes, picture: Image.Image) -> bool:
    """Whether a reader that knows nothing of orientation and profiles sees the same pixels."""
    kind = sniff(file[:HEAD_BYTES])
    if kind not in EXTENSIONS:
        return False
    try:
        with Image.open(io.BytesIO(file), formats=[kind]) as opened:
            if opened.size != picture.size or opened.getexif().get(ORIENTATION, 1) != 1:
                return False
            return opened.convert("RGB").tobytes() == picture.tobytes()
    except (OSError, SyntaxError, ValueError):  # a file whose segments are not what they say
        return False


def _exif(original: bytes) -> Image.Exif | None:
    kind = sniff(original[:HEAD_BYTES])
    if kind not in EXTENSIONS:
        return None
    with Image.open(io.BytesIO(original), formats=[kind]) as opened:
        exif = opened.getexif()
        exif.pop(ORIENTATION, None)  # the pixels are upright now
        return exif or None
