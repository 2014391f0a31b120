"""Sources list photos with their known labels. Only a photo library opens photos."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images.uris import Location
from repic.sources.base import Annotation, SourcePhoto, one_form, strictest

if TYPE_CHECKING:
    from repic import config

__all__ = ["Annotation", "SourceError", "SourcePhoto", "photos", "provenance"]

_log = logging.getLogger(__name__)


def photos(settings: config.SourceSettings, splits: config.SplitSettings) -> Iterator[SourcePhoto]:
    """All photos of a source, each URI once, sorted by URI (rows of a table by number).

    If a source lists a URI several times (a data set with a row per object or question), the photo
    has all of its objects, the first caption, and the identity if the entries agree. Identities
    have one Unicode form (NFC) and single spaces.

    Args:
        settings: The section `source` of the settings.
        splits: Needed for generated photos, which never mix identities of two splits.

    Raises:
        SourceError: the source cannot be read or has no photos.
    """
    by_uri: dict[str, SourcePhoto] = {}
    count = 0
    for listed in _of_kind(settings, splits):
        photo = _normalized(listed)
        earlier = by_uri.get(photo.uri)
        by_uri[photo.uri] = _merged(earlier, photo) if earlier else photo
        count += 1
    if not by_uri:
        raise SourceError(
            f"there is no photo in {settings.path or settings.kind}; give a folder or data set "
            "with photos (source.path)"
        )
    if count > len(by_uri):
        _log.info("%s: merged %d repeated photos of %d", settings.path, count - len(by_uri), count)
    _warn_of_likeness(settings, by_uri.values())
    return iter(sorted(by_uri.values(), key=_order))


def provenance(settings: config.SourceSettings, found: Iterable[str]) -> dict[str, str]:
    """What the lineage records of a source beyond its settings: the commit of a data set.

    Args:
        found: URIs of its photos.
    """
    from repic.sources import hub

    on_hub = settings.kind in ("hf", "webdataset", "subjects200k")
    commits = {commit for uri in found if on_hub and (commit := hub.commit_of(uri))}
    return {"commit": commits.pop()} if len(commits) == 1 else {}


def _normalized(photo: SourcePhoto) -> SourcePhoto:
    """The photo with identities in one form; one of no visible character is none."""
    annotations = tuple(
        replace(annotation, identity=one_form(annotation.identity))
        if annotation.identity
        else annotation
        for annotation in photo.annotations
    )
    return replace(photo, identity=one_form(photo.identity), annotations=annotations)


def _merged(first: SourcePhoto, second: SourcePhoto) -> SourcePhoto:
    """One photo of two entries with the same URI."""
    identities = {photo.identity for photo in (first, second)} - {None}
    return replace(
        first,
        licence=first.licence or second.licence,
        identity=identities.pop() if len(identities) == 1 else None,
        caption=first.caption or second.caption,
        label=first.label or second.label,
        annotations=tuple(dict.fromkeys((*first.annotations, *second.annotations))),
        split=strictest((first.split, second.split)),
    )


def _warn_of_likeness(settings: config.SourceSettings, found: Iterable[SourcePhoto]) -> None:
    """Say which identities differ in upper and lower case only: they stay two."""
    forms: dict[str, set[str]] = {}
    for photo in found:
        for identity in (photo.identity, *(a.identity for a in photo.annotations)):
            if identity:
                forms.setdefault(identity.casefold(), set()).add(identity)
    alike = sorted(" and ".join(sorted(names)) for names in forms.values() if len(names) > 1)
    if alike:
        _log.warning(
            "%s: %d identities differ in upper and lower case only and stay apart, as %s; "
            "write them alike if they are one",
            settings.path,
            len(alike),
            alike[0],
        )


def _order(photo: SourcePhoto) -> tuple[str, int, str]:
    """Sort key: what is inside of a file by its place there.

    An invalid URI is sorted as text; the stage that reads it reports the error.
    """
    if "#" not in photo.uri:
        return photo.uri, -1, ""
    try:
        location = Location.parse(photo.uri)
    except ValueError:
        return photo.uri, -1, ""
    return location.url, location.position, photo.uri


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
        case "refcoco":
            from repic.sources import refcoco

            return refcoco.photos(settings)
        case "hf":
            from repic.sources import hf

            return hf.photos(settings)
        case "sql":
            from repic.sources import sql

            return sql.photos(settings)
        case "webdataset":
            from repic.sources import webdataset

            return webdataset.photos(settings)
        case "subjects200k":
            from repic.sources import subjects200k

            return subjects200k.photos(settings)
        case "sample":
            from repic.sources import sample

            return sample.photos(settings, splits)
