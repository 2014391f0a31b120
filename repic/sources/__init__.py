"""Sources list photos with their known labels. Only a photo library opens photos."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from repic.config import plugins
from repic.config.sources import kind_of
from repic.errors import SourceError
from repic.images.uris import Location
from repic.sources.base import (
    Annotation,
    RefusedPhoto,
    SourceFacts,
    SourcePhoto,
    one_form,
    storable,
    strictest,
)

if TYPE_CHECKING:
    from repic import config

__all__ = [
    "Annotation",
    "SourceError",
    "SourceFacts",
    "SourcePhoto",
    "facts",
    "listed",
    "photos",
    "provenance",
]

_log = logging.getLogger(__name__)


def listed(settings: config.Settings) -> Iterator[SourcePhoto]:
    """All photos of all sources, each URI once, sorted by URI (rows of a table by number).

    A photo of several sources is one of the first that lists it, and later ones fill what it leaves
    open; see `filled`.

    Raises:
        ConfigError: a source needs a path.
        SourceError: a source cannot be read or has no photos; the message says which.
    """
    by_uri: dict[str, SourcePhoto] = {}
    for source in settings.sources:
        source.require_path()
        try:
            found = photos(source, settings.splits)
        except SourceError as error:
            if len(settings.sources) == 1:
                raise
            raise SourceError(f"source {source.name}: {error}") from error
        for photo in found:
            first = by_uri.get(photo.uri)
            by_uri[photo.uri] = filled(first, photo) if first else photo
    _warn_of_shared(by_uri.values())
    return iter(sorted(by_uri.values(), key=_order))


def filled(photo: SourcePhoto, other: SourcePhoto) -> SourcePhoto:
    """A photo with what it leaves open from an entry of a later source.

    That is its identity, caption, label and licence, and its objects if it has none. A photo that
    the first source may not name is one of the later source, which may.
    """
    if isinstance(photo, RefusedPhoto):
        return other
    return replace(
        photo,
        licence=photo.licence or other.licence,
        identity=photo.identity or other.identity,
        caption=photo.caption or other.caption,
        label=photo.label or other.label,
        annotations=photo.annotations or other.annotations,
        drawn_on=photo.drawn_on if photo.annotations else other.drawn_on,
        split=strictest((photo.split, other.split)),
    )


def photos(settings: config.SourceSettings, splits: config.SplitSettings) -> Iterator[SourcePhoto]:
    """All photos of one source, each URI once, sorted like those of `listed`.

    If a source lists a URI several times (a data set with a row per object or question), the photo
    has all of its objects, the first caption, and the identity if the entries agree. Identities
    have one Unicode form (NFC) and single spaces.

    Args:
        splits: Needed for generated photos, which never mix identities of two splits.

    Raises:
        SourceError: the source cannot be read or has no photos.
    """
    by_uri: dict[str, SourcePhoto] = {}
    count = 0
    name = settings.name or settings.kind
    scope = f"{name}/" if settings.identity_scope == "source" else ""
    for entry in _entries(settings, splits):
        photo = _normalized(replace(entry, source=name), scope)
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

    on_hub = kind_of(settings.kind).on_hub
    commits = {commit for uri in found if on_hub and (commit := hub.commit_of(uri))}
    made_by = plugins.identity("sources", settings.kind)
    plugin = {"plugin": " ".join(map(str, made_by.values()))} if made_by else {}
    return plugin | ({"commit": commits.pop()} if len(commits) == 1 else {})


def facts() -> dict[str, SourceFacts]:
    """What each kind of source gives, by kind."""
    return {plugin.name: plugins.load(*plugin.key).FACTS for plugin in plugins.usable("sources")}


def _entries(
    settings: config.SourceSettings, splits: config.SplitSettings
) -> Iterator[SourcePhoto]:
    """Photos as the module of this kind lists them."""
    module = plugins.load("sources", settings.kind)
    needed = (settings, splits) if kind_of(settings.kind).generates else (settings,)
    entries: Iterator[SourcePhoto] = module.photos(*needed)
    return entries


def _normalized(photo: SourcePhoto, scope: str) -> SourcePhoto:
    """The photo with identities in one form, after their scope, and texts that can be stored.

    An identity without characters is none.
    """

    def scoped(identity: str | None) -> str | None:
        name = storable(one_form(identity))
        return f"{scope}{name}" if name else None

    annotations = tuple(
        replace(
            annotation,
            label=storable(annotation.label) or "",
            identity=scoped(annotation.identity),
        )
        if annotation.identity or storable(annotation.label) != annotation.label
        else annotation
        for annotation in photo.annotations
    )
    return replace(
        photo,
        licence=storable(photo.licence),
        identity=scoped(photo.identity),
        caption=storable(photo.caption),
        annotations=annotations,
        label=storable(photo.label),
    )


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
        drawn_on=first.drawn_on or second.drawn_on,
        split=strictest((first.split, second.split)),
    )


def _warn_of_likeness(settings: config.SourceSettings, found: Iterable[SourcePhoto]) -> None:
    """Say which identities differ in upper and lower case only: they stay two."""
    forms: dict[str, set[str]] = {}
    for photo in found:
        for identity in photo.identities:
            forms.setdefault(identity.casefold(), set()).add(identity)
    alike = sorted(" and ".join(sorted(names)) for names in forms.values() if len(names) > 1)
    if alike:
        _log.warning(
            "%s: names of identities that differ in upper and lower case only stay apart (%d), as "
            "%s; write them alike if they are one",
            settings.path,
            len(alike),
            alike[0],
        )


def _warn_of_shared(found: Iterable[SourcePhoto]) -> None:
    """Say which identities of several sources have one name: they count as one."""
    sources: dict[str, set[str]] = {}
    for photo in found:
        for identity in photo.identities:
            sources.setdefault(identity, set()).add(photo.source)
    shared = sorted(identity for identity, names in sources.items() if len(names) > 1)
    if shared:
        _log.warning(
            "identities of one name in several sources count as one (%d), as %s in %s; if they are "
            "not, as numbers may be, set sources.NAME.identity_scope=source",
            len(shared),
            shared[0],
            " and ".join(sorted(sources[shared[0]])),
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
