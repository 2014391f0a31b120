"""Subjects200K (Tan et al., "OminiControl", arXiv 2411.15098): the same object in two views.

A row has one picture of two square views side by side, grades from 0 to 5 for composition,
consistency of the object and image quality, and a description of each view. Each view becomes a
photo, addressed as a region of the picture; both have the row as identity.

The data set card says "16-pixel padding" around views of 512 pixels, 1056x528 in total, but not on
which sides. So `PADDING` is cropped on all sides of both halves, which removes any padding and any
part of the other view. Regions are in percent, since the third collection has views of 1024 pixels;
so no picture is opened for its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import uris
from repic.sources import hub, parquet
from repic.sources.base import SourceFacts, SourcePhoto

if TYPE_CHECKING:
    from repic import config

GRADES = ("compositeStructure", "objectConsistency", "imageQuality")
LICENCE = "Apache-2.0"
PADDING = 16 / 528
"""Cropped share of the side of a half, on each side."""

_INSET, _SIDE = 100 * PADDING, 100 * (1 - 2 * PADDING)
_VIEWS = tuple(
    uris.Region(round(x, 4), round(_INSET, 4), round(_SIDE / 2, 4), round(_SIDE, 4), "percent")
    for x in (_INSET / 2, 50 + _INSET / 2)
)

FACTS = SourceFacts(
    path="a folder of its Parquet files or its hub name",
    identity="the row: two views of one thing (`folder`)",
    captions="descriptions of the row",
    splits="`source.split` is read",
    licence="Apache-2.0",
    lacks="boxes and expressions",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """Two photos for each row whose three grades are at least `settings.min_quality`.

    A missing grade counts as 0. If `description_valid` is false, the captions of a row are not
    used, but its pictures are.

    Raises:
        SourceError: the data set or split does not exist or has other columns.
    """
    tables = parquet.table_files(
        hub.located(settings.path or "", settings.revision), settings.split
    )
    if not tables:
        raise SourceError(
            f"{settings.path} has no Parquet files; Subjects200K consists of data/train-*.parquet"
        )
    for table in tables:
        names = table.schema().names
        if missing := {"image", "quality_assessment", "description"} - set(names):
            raise SourceError(
                f"{table.uri} has no column {', '.join(sorted(missing))}: is this Subjects200K?"
            )
        shard = PurePosixPath(table.path).stem
        for number, row in enumerate(table.rows(["quality_assessment", "description"])):
            if _quality(row) >= settings.min_quality:
                yield from _views(settings, table.uri, shard, number, row["description"])


def _quality(row: dict[str, Any]) -> int:
    grades = row["quality_assessment"]
    values = [grades.get(name) for name in GRADES] if isinstance(grades, dict) else [0]
    return min(value if isinstance(value, int) else 0 for value in values)


def _views(
    settings: config.SourceSettings,
    table: str,
    shard: str,
    number: int,
    description: Any,
) -> Iterator[SourcePhoto]:
    texts = description if isinstance(description, dict) else {}
    is_valid = texts.get("description_valid") is not False
    for view, region in enumerate(_VIEWS):
        caption = texts.get(f"description_{view}") if is_valid else None
        yield SourcePhoto(
            uri=str(uris.Location(table, number, "image", region)),
            source=settings.kind,
            licence=settings.licence or LICENCE,
            identity=None if settings.identity == "none" else f"{shard}/{number}",
            caption=caption if caption and isinstance(caption, str) else None,
        )
