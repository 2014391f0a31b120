"""Photos and boxes listed in a CSV file, a line for each box: photo,x1,y1,x2,y2,label,identity."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator

from pydantic import Field

from repic import config
from repic.config.sources import SourceKind
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import contained, local_files
from repic.sources.base import Annotation, SourceFacts, SourcePhoto

VERSION = 1  # raise it when the same file gives other photos or boxes
KIND = SourceKind(defaults={"identity": "annotation", "detector": {"kind": "annotation"}})
FACTS = SourceFacts(
    path="a CSV file with columns photo, x1, y1, x2, y2, label, identity; photos are beside it",
    identity="column `identity` of a box (`annotation`)",
    boxes="boxes",
    lacks="expressions, captions, splits",
)


class SETTINGS(config.Section):
    """Settings of the source, as `source.boxes` in the settings."""

    delimiter: str = Field(
        ",", min_length=1, max_length=1, description="Character between two columns."
    )


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """The photos of the file.

    Raises:
        SourceError: it cannot be read, or a line has no box.
    """
    path = local_files.local_path(settings, "a file of boxes")
    folder = uris.file_uri(path.parent)
    found: dict[str, list[Annotation]] = defaultdict(list)
    lines = csv.DictReader(local_files.lines(path), delimiter=settings.of_plugin("boxes").delimiter)
    for line in lines:
        try:
            box = Box(*(float(line[side]) for side in ("x1", "y1", "x2", "y2")))
            annotation = Annotation(box, line["label"], line["identity"] or None)
            found[line["photo"]].append(annotation)
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{path}, line {lines.line_num}: no box ({error})") from None
    for name, boxes in found.items():
        uri = contained.uri_of(folder, name)
        photo = SourcePhoto(uri, settings.kind, settings.licence, annotations=tuple(boxes))
        yield contained.checked(photo, folder)
