"""Photos that a query on Parquet files of this machine lists.

`source.path` is one SELECT with the column `uri`, and any of `identity`, `label`, `caption`,
`licence`, `split` and a box: `box`, a list of x1, y1, x2, y2, or these four as columns; in pixels
of the upright photo. Several rows with a box about one photo are several objects. It is guarded as
`repic sql` is: it reads the files that it names, and nothing else.

A path in `uri` is relative to `source.images`, or to the folder of the first file of the query, and
must not lead out of there; see `repic.sources.contained`.

An identity, the column `identity`, is that of the box of its row, or of the photo in a row without
a box.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import columns, contained
from repic.sources.base import Annotation, SourceFacts, SourcePhoto, say_skipped, split_named
from storage import sql
from storage.errors import QueryError

if TYPE_CHECKING:
    from repic import config

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = ("uri", "identity", "label", "caption", "licence", "split", "box", *CORNERS)

FACTS = SourceFacts(
    path="a SELECT on Parquet files, with a column `uri`",
    identity="column `identity` (`folder`), or that of a box (`annotation`)",
    boxes="columns `box` or `x1`, `y1`, `x2`, `y2`",
    captions="column `caption`",
    splits="column `split`",
    licence="column `licence`, or `source.licence`",
    lacks="expressions",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of the result, in its order.

    Raises:
        SourceError: the query is not valid or does more than reading, or has other columns.
    """
    import duckdb

    query = settings.path or ""
    counts: Counter[str] = Counter()
    try:
        _, files = sql.named_files(query)
        result = sql.ask_files(query)
        names = _checked(result.columns)
        root = uris.to_uri(settings.images or (os.path.dirname(files[0]) if files else "."))
        for row in result.fetchall():
            photo = _photo(settings, dict(zip(names, row, strict=True)), root, counts)
            if photo:
                yield contained.checked(photo, root)
    except QueryError as error:
        raise SourceError(f"source.path is no query that can be read: {error}") from error
    except duckdb.Error as error:
        raise SourceError(
            f"the query of source.path failed: {sql.explained(error, sql.FILES)}"
        ) from error
    say_skipped("the query of source.path", counts)


def _checked(names: list[str]) -> list[str]:
    """Names of the columns in lower case.

    Raises:
        SourceError: one is unknown, or one is missing.
    """
    found = [name.lower() for name in names]
    if unknown := [name for name in found if name not in COLUMNS]:
        raise SourceError(
            f"the query of source.path has a column {unknown[0]}; known are {', '.join(COLUMNS)}"
        )
    if "uri" not in found:
        raise SourceError("the query of source.path has no column uri; SELECT ... AS uri")
    corners = [name for name in CORNERS if name in found]
    if corners and len(corners) < len(CORNERS):
        raise SourceError(f"the query of source.path has only {', '.join(corners)} of a box")
    return found


def _photo(
    settings: config.SourceSettings, row: dict[str, Any], root: str, counts: Counter[str]
) -> SourcePhoto | None:
    name = columns.text(row["uri"])
    try:
        uri = contained.uri_of(root, name or "")
    except ValueError:
        name = None
    if not name:
        counts["rows without a usable uri"] += 1
        return None
    identity = columns.named(row.get("identity")) if settings.identity != "none" else None
    label = columns.noun(columns.named(row.get("label")), counts)
    split = row.get("split")
    if split is not None and split_named(split) is None:
        counts["splits of an unknown name"] += 1
    box, given = _box(row)
    if given and box is None:
        counts["boxes that are malformed or empty"] += 1
    return SourcePhoto(
        uri=uri,
        source=settings.kind,
        licence=columns.text(row.get("licence")) or settings.licence,
        identity=None if given else identity,
        caption=columns.text(row.get("caption")),
        label=None if given else label,
        annotations=(Annotation(box, label or "", identity),) if box else (),
        split=split_named(split),
    )


def _box(row: dict[str, Any]) -> tuple[Box | None, bool]:
    """The box of a row if it is one, and whether the row gives any."""
    value = row.get("box")
    if value is None and any(row.get(name) is not None for name in CORNERS):
        value = [row[name] for name in CORNERS]
    if value is None:
        return None, False
    return columns.box(value), True
