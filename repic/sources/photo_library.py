"""A photo library: a folder of photos whose people somebody has named.

- Face regions in XMP, in the file or in a sidecar (`photo.jpg.xmp`, or Lightroom's `photo.xmp`):
  identity and box of each person. A sidecar with regions goes before the file.
- Google Takeout: the JSON file of a photo lists `people` without boxes. A photo of one named person
  gets that identity; of several named people, who is where is unknown, so no name is used.

An identity is a name that a person has given. Faces without a name are objects without an
identity, and nobody is named who is not in the metadata. Folders are albums: with `identity: album`
an album is the identity of the main objects of its photos, and faces have no names. The
caption is the description of the photo. Regions are drawn on the photo as it is stored (MWG), or as
it is shown if the size recorded with them says so; regions of another shape belong to an earlier
crop of the photo and are left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images import decode, uris
from repic.images.coordinates import Box, upright
from repic.images.fetch import ImageRefused, read_bytes
from repic.sources import folder, local_files
from repic.sources.base import Annotation, SourceFacts, SourcePhoto, say_skipped
from repic.sources.takeout import TakeoutFolder
from repic.sources.xmp import MAX_BYTES, FaceRegion, Xmp, XmpError, parse

if TYPE_CHECKING:
    from repic import config

SHAPE_TOLERANCE = 0.02
"""Largest relative difference of aspect ratios between a photo and the size of its regions."""

FACTS = SourceFacts(
    path="a local folder of photos with XMP (digiKam, Lightroom, Picasa) or from Google Takeout",
    identity="names that people gave to faces (`annotation`), or albums (`album`)",
    boxes="faces with a name or without",
    captions="description of the photo",
    licence="XMP, or `source.licence`",
    lacks="boxes of anything but faces, expressions; Takeout has no boxes",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos below `settings.path`, in no particular order.

    Raises:
        SourceError: the folder does not exist or is not local.
    """
    counts: Counter[str] = Counter()
    takeout: dict[str, TakeoutFolder] = {}
    root_path = str(local_files.local_path(settings, "a photo library"))
    for uri, _ in folder.local_candidates(root_path):
        path = Path(uris.file_path(uri))
        parent = str(path.parent)
        if parent not in takeout:
            takeout[parent] = TakeoutFolder.of(path.parent, counts)
        people = takeout[parent].people(path.name)
        photo = _photo(uri, path, people, settings, counts)
        if settings.identity == "album" and parent != root_path:
            photo = replace(photo, identity=takeout[parent].album(path.parent.name))
        yield photo
    say_skipped(settings.path, counts)


def _photo(
    uri: str,
    path: Path,
    people: tuple[str, ...],
    settings: config.SourceSettings,
    counts: Counter[str],
) -> SourcePhoto:
    header = _header(uri)
    found = _metadata(path, header, counts)
    named = settings.identity == "annotation"
    annotations = []
    for region in found.regions:
        box = _on_shown_photo(region, header) if header else None
        if box is None:
            counts["regions of a photo that was cropped or replaced later"] += 1
        else:
            name = region.name if named else None
            annotations.append(Annotation(box, region.label, name))
    identity = None
    if named and not any(region.name for region in found.regions):
        if len(people) == 1:
            identity = people[0]
        elif people:
            counts["names of photos with several people of unknown places"] += 1
    return SourcePhoto(
        uri=uri,
        source=settings.kind,
        licence=settings.licence or found.licence,
        identity=identity,
        caption=found.caption,
        annotations=tuple(annotations),
    )


def _header(uri: str) -> decode.ImageHeader | None:
    """Size, orientation and XMP of a photo; None if a later stage will refuse it."""
    try:
        return decode.read_header(read_bytes(uri))
    except (ImageRefused, ValueError, OSError):
        return None


def _metadata(path: Path, header: decode.ImageHeader | None, counts: Counter[str]) -> Xmp:
    """XMP of a photo; the sidecar's fields go before those in the file."""
    found = []
    for sidecar in (path.with_name(f"{path.name}.xmp"), path.with_suffix(".xmp")):
        if not os.path.exists(sidecar):
            continue
        try:
            found.append(parse(local_files.content(sidecar, MAX_BYTES)))
        except (SourceError, XmpError):
            counts["sidecar files that cannot be read"] += 1
    if header and header.xmp:
        try:
            found.append(parse(header.xmp))
        except XmpError:
            counts["photos whose XMP cannot be read"] += 1
    return Xmp(
        next((xmp.regions for xmp in found if xmp.regions), ()),
        next((xmp.caption for xmp in found if xmp.caption), None),
        next((xmp.licence for xmp in found if xmp.licence), None),
    )


def _on_shown_photo(region: FaceRegion, header: decode.ImageHeader) -> Box | None:
    """The box of a region in pixels of the upright photo; None if it belongs to another crop."""
    width, height, orientation = header.width, header.height, header.orientation
    turned = orientation >= 5
    if region.size and not _alike(region.size, (width, height)):
        if not (turned and _alike(region.size, (height, width))):
            return None
        orientation = 1
        width, height = height, width
    return upright(region.box.scale(width, height), width, height, orientation)


def _alike(first: tuple[float, float], second: tuple[float, float]) -> bool:
    one, other = first[0] / first[1], second[0] / second[1]
    return abs(one - other) <= SHAPE_TOLERANCE * other
