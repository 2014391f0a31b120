"""Sources list photos with their known labels. They do not open photos."""

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
    """All photos of a source, each URI once, sorted by URI (rows of a table by number).

    If a source lists a URI several times (a data set with many questions per photo), the first
    entry counts.

    Args:
        settings: The section `source` of the settings.
        splits: Needed for generated photos, which never mix identities of two splits.

    Raises:
        SourceError: the source cannot be read or has no photos.
    """
    by_uri: dict[str, SourcePhoto] = {}
    count = 0
    for photo in _of_kind(settings, splits):
        by_uri.setdefault(photo.uri, photo)
        count += 1
    if not by_uri:
        raise SourceError(
            f"there is no photo in {settings.path or settings.kind}; give a folder or data set "
            "with photos (source.path)"
        )
    if count > len(by_uri):
        _log.info("%s: skipped %d repeated photos of %d", settings.path, count - len(by_uri), count)
    return iter(sorted(by_uri.values(), key=_order))


def _order(photo: SourcePhoto) -> tuple[str, int, str]:
    """Sort key: rows of a table by number.

    An invalid URI is sorted as text; the stage that reads it reports the error.
    """
    if "#" not in photo.uri:
        return photo.uri, -1, ""
    try:
        location = Location.parse(photo.uri)
    except ValueError:
        return photo.uri, -1, ""
    return location.url, -1 if location.row is None else location.row, photo.uri


def _of_kind(
    settings: config.SourceSettings, splits: config.SplitSettings
) -> Iterator[SourcePhoto]:
    match settings.kind:
        case "folder":
            from repic.sources import folder

            return folder.photos(settings)
        case "library":
            from repic.sources import photo_library

            return photo_library.photos(settings)
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
