"""Where photos come from. A source names photos and what it knows of them; it opens none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images.uris import Location
from repic.sources.base import Annotation, SourcePhoto

if TYPE_CHECKING:
    from repic import config

__all__ = ["Annotation", "SourceError", "SourcePhoto", "photos"]

_log = logging.getLogger(__name__)


def photos(settings: config.SourceSettings, splits: config.SplitSettings) -> Iterator[SourcePhoto]:
    """All photos of a source, sorted by URI (rows of a table by number), each URI once.

    Where a source names one URI several times (a data set with many questions per photo), the
    first counts.

    Args:
        splits: For generated photos, which never mix identities of two splits.

    Raises:
        SourceError: the source cannot be read, or has no photo.
    """
    found: dict[str, SourcePhoto] = {}
    count = 0
    for photo in _of_kind(settings, splits):
        found.setdefault(photo.uri, photo)
        count += 1
    if not found:
        raise SourceError(
            f"there is no photo in {settings.path or settings.kind}; give a folder or data set "
            "that holds some (source.path)"
        )
    if count > len(found):
        _log.info("%s: %d repeated photos of %d left out", settings.path, count - len(found), count)
    return iter(sorted(found.values(), key=_order))


def _order(photo: SourcePhoto) -> tuple[str, int, str]:
    """Rows in the order in which their file is read, which `row=10` before `row=9` is not.

    A URI that is not understood keeps its place: whoever reads it says what is wrong with it.
    """
    if "#" not in photo.uri:
        return photo.uri, -1, ""
    try:
        where = Location.parse(photo.uri)
    except ValueError:
        return photo.uri, -1, ""
    return where.url, -1 if where.row is None else where.row, photo.uri


def _of_kind(
    settings: config.SourceSettings, splits: config.SplitSettings
) -> Iterator[SourcePhoto]:
    match settings.kind:
        case "folder":
            from repic.sources import folder

            return folder.photos(settings)
        case "coco":
            from repic.sources import coco

            return coco.photos(settings)
        case "hf":
            from repic.sources import hf

            return hf.photos(settings)
        case "subjects200k":
            from repic.sources import subjects200k

            return subjects200k.photos(settings)
        case "sample":
            from repic.sources import sample

            return sample.photos(settings, splits)
