"""Photos and boxes in the form of Pascal VOC.

- `path`: a folder with `Annotations/*.xml`, `JPEGImages/` and perhaps `ImageSets/Main/train.txt`,
  `val.txt` and `test.txt`, as `VOC2012` and what CVAT exports; or one with several of these, as
  `VOCdevkit`; or a folder in which XML files lie beside their photos, perhaps in `train`, `valid`
  and `test`, as LabelImg and Roboflow write them.
- `images`: the folder of photos, instead of `JPEGImages`.

A box counts pixels from 1 and includes its last ones. An object that is `difficult` counts as
occluded: it is there, but hard to recognize. VOC has no identities; the attribute `identity` that
CVAT writes is read with `identity: annotation`. XML is parsed without entities and DTDs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import coco_fields, contained, local_files
from repic.sources.base import (
    Annotation,
    SourceFacts,
    SourcePhoto,
    say_skipped,
    split_named,
    strictest,
)
from repic.sources.folder import SUFFIXES

if TYPE_CHECKING:
    from repic import config

MAX_BYTES = 16 << 20
"""Largest XML file that is read."""

_XML = ("Annotations", "annotations")
_PHOTOS = ("JPEGImages", "images", "Images")

FACTS = SourceFacts(
    path="a folder with `Annotations/*.xml` and `JPEGImages` or `images`, or with XML beside its "
    "photos",
    identity="none; CVAT's attribute `identity` of an object (`annotation`)",
    boxes="boxes; `difficult` counts as occluded",
    splits="`ImageSets/Main`, or folders `train`, `valid`, `test`",
    lacks="expressions, captions, a licence (VOC's photos are from Flickr)",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of the folder, with the boxes of their XML files.

    Raises:
        SourceError: the folder has no XML files, or none can be read.
    """
    root = local_files.root(settings, "Pascal VOC")
    skipped: Counter[str] = Counter()
    found = read = 0
    for part in _parts(root):
        files = list(_files(part))
        found += len(files)
        for photo, is_annotated in _of_part(part, files, settings, skipped):
            read += is_annotated
            yield photo
    if not read:
        raise SourceError(
            f"none of {found} XML files in {root} is of Pascal VOC"
            + "".join(f"; {count} {reason}" for reason, count in (+skipped).items())
            if found
            else f"there is no XML file of Pascal VOC in {root}; give the folder with Annotations "
            "and JPEGImages (source.path)"
        )
    say_skipped(settings.path, skipped)


def _of_part(
    part: Path, files: list[Path], settings: config.SourceSettings, skipped: Counter[str]
) -> Iterator[tuple[SourcePhoto, bool]]:
    """Photos of a data set, and whether their XML file can be read; those without one come last."""
    folder = (_inner(part, _XML) and _inner(part, _PHOTOS)) or part / _PHOTOS[0]
    if settings.images or folder.is_dir():
        folder = local_files.images_folder(settings, [folder], "photos of VOC are")
    else:
        folder = part
    splits = _splits(part, skipped)
    unused = set(_photos_in(folder)) if folder != part else set()
    for path in files:
        photo = _photo(path, folder if folder != part else path.parent, settings, skipped)
        if photo is not None:
            name = Path(uris.file_path(photo.uri))
            unused.discard(name)
            split = strictest((splits.get(name.stem), split_named(path.parent.name)))
            yield contained.checked(replace(photo, split=split), uris.file_uri(folder)), True
    for name in sorted(unused):
        uri, split = uris.file_uri(name), splits.get(name.stem)
        yield SourcePhoto(uri, settings.kind, settings.licence, split=split), False


def _inner(part: Path, names: Sequence[str]) -> Path | None:
    """The first folder of these names in a data set."""
    return next((part / name for name in names if (part / name).is_dir()), None)


def _parts(root: Path) -> list[Path]:
    """The data sets in a folder: itself, or the folders in it that have `Annotations`."""
    below = [*root.glob("*/"), *root.glob("VOCdevkit/*/")]
    parts = [path for path in sorted(below) if _inner(path, _XML)]
    return parts if parts and not _inner(root, _XML) else [root]


def _files(part: Path) -> Iterator[Path]:
    """XML files of a data set."""
    folder = _inner(part, _XML)
    yield from sorted(folder.glob("*.xml") if folder else part.rglob("*.xml"))


def _photos_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _splits(part: Path, skipped: Counter[str]) -> dict[str, str]:
    """Name of a photo without suffix -> split; `trainval.txt` says nothing."""
    splits: dict[str, str] = {}
    for name in ("train", "val", "test"):
        path = part / "ImageSets" / "Main" / f"{name}.txt"
        for line in local_files.lines(path) if path.is_file() else ():
            words = line.split()
            if len(words) > 2 or words[1:] == ["-1"]:
                skipped[f"lines of {path.name} that name no photo"] += 1
            elif split := strictest((split_named(name), splits.get(_stem(words[0])))):
                splits[_stem(words[0])] = split
    return splits


def _stem(name: str) -> str:
    """A name without the suffix of a photo; other dots stay, as in `img.v2`."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _photo(
    path: Path, folder: Path, settings: config.SourceSettings, skipped: Counter[str]
) -> SourcePhoto | None:
    """The photo of an XML file; None if the file is none of VOC."""
    try:
        tree = ElementTree.fromstring(local_files.content(path, MAX_BYTES), forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        skipped["XML files that cannot be read"] += 1
        return None
    if tree is None or tree.tag != "annotation":
        skipped["XML files of another form"] += 1
        return None
    name = _named(folder, path.stem, coco_fields.sentence(tree.findtext("filename")))
    size = coco_fields.size({n: tree.findtext(f"size/{n}") for n in ("width", "height")})
    annotations = []
    for entry in tree.iterfind("object"):
        box = _box(entry.find("bndbox"), size)
        label = coco_fields.sentence(entry.findtext("name"))
        if box is None:
            skipped["objects whose box is malformed or outside of its photo"] += 1
        else:
            annotations.append(_annotation(entry, box, label, settings.identity == "annotation"))
    return SourcePhoto(
        uri=uris.file_uri(folder / name),
        source=settings.kind,
        licence=settings.licence,
        annotations=tuple(annotations),
        drawn_on=size,
    )


def _named(folder: Path, stem: str, filename: str) -> str:
    """Name of the photo: `filename`, else the name of the XML file, if such a photo exists."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    if name and os.path.isfile(folder / name):
        return name
    same = (stem + suffix for suffix in (Path(name).suffix, ".jpg", *sorted(SUFFIXES)) if suffix)
    return next((s for s in same if os.path.isfile(folder / s)), name or f"{stem}.jpg")


def _box(entry: Any, size: tuple[int, int] | None) -> Box | None:
    """xyxy in pixels, of corners that count from 1 and are both inside."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    try:
        x1, y1, x2, y2 = (float(entry.findtext(corner)) for corner in corners)
    except (AttributeError, TypeError, ValueError):
        return None
    width, height = size or (None, None)
    return coco_fields.box((x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1), width, height)


def _annotation(entry: Any, box: Box, label: str, with_identity: bool) -> Annotation:
    attributes = {
        one.findtext("name"): one.findtext("value") for one in entry.iterfind(".//attribute")
    }
    identity = coco_fields.sentence(attributes.get("identity")) if with_identity else ""
    occluded = coco_fields.flag(entry.findtext("occluded"))
    if coco_fields.flag(entry.findtext("difficult")):
        occluded = True
    truncated = coco_fields.flag(entry.findtext("truncated"))
    return Annotation(box, label, identity or None, (), truncated, occluded)
