"""The photos of a source, each named by the hash of its bytes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from repic import sources
from repic.config import Settings
from repic.errors import SourceError
from repic.images import decode
from repic.images.fetch import ImageRefused, read_bytes
from repic.images.uris import Location, Region
from repic.sources.base import SourcePhoto
from storage.hashing import ID_DIGITS, fingerprint

TRANSIENT = frozenset({"missing", "unreadable", "not-a-file", "link-loop", "changed"})
"""Reasons that lie in the place of a photo and not in its bytes, so another day may mend them."""


@dataclass(frozen=True)
class Reject:
    """An input that could not be used, and why; one row of the quarantine."""

    uri: str
    stage: str
    error: str
    message: str
    image_id: str | None = None

    @property
    def transient(self) -> bool:
        return self.error in TRANSIENT


@dataclass(frozen=True)
class Found:
    """A photo whose bytes could be read; `also_at` are other URIs of the very same picture."""

    image_id: str
    sha256: str
    photo: SourcePhoto
    also_at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scan:
    """What a source holds at this moment, in order of image_id."""

    found: tuple[Found, ...]
    rejects: tuple[Reject, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any byte, place or label of any photo."""
        return fingerprint([[asdict(f) for f in self.found], [asdict(r) for r in self.rejects]])

    @property
    def files(self) -> int:
        """URIs that the source named, duplicates and unreadable ones included."""
        return sum(1 + len(f.also_at) for f in self.found) + len(self.rejects)

    def without(self, gone: Iterable[Reject]) -> Scan:
        """The same source after some places turned out to be empty or to hold something else.

        A photo that is in another place, too, is used from there.
        """
        refused = {reject.uri: reject for reject in (*self.rejects, *gone)}
        found = []
        for f in self.found:
            places = [uri for uri in (f.photo.uri, *f.also_at) if uri not in refused]
            if places:
                photo = replace(f.photo, uri=places[0])
                found.append(replace(f, photo=photo, also_at=tuple(places[1:])))
        return Scan(tuple(found), tuple(sorted(refused.values(), key=lambda r: r.uri)))


def scan(
    settings: Settings,
    progress: Callable[[int], None] = lambda count: None,
    only: Collection[str] | None = None,
) -> Scan:
    """Read and hash every photo of the source.

    The bytes are hashed each time: content decides identity, and a time stamp can lie.

    Args:
        progress: Called with the number of photos hashed so far.
        only: URIs to look at; others that the source names are passed over.

    Raises:
        SourceError: the source does not exist or has no photo.
    """
    settings.source.require_path()
    named = sources.photos(settings.source, settings.splits)
    photos = [p for p in named if p.uri in only] if only is not None else named
    if not photos:
        raise SourceError(
            f"no photo that was known is in {settings.source.path} any more; "
            "give its new place to `repic build`"
        )
    hashed: dict[str, list[tuple[SourcePhoto, str]]] = defaultdict(list)
    rejects = []
    with ThreadPoolExecutor(settings.runtime.workers) as pool:
        for done, (photo, sha256, reject) in enumerate(pool.map(_hash, photos), start=1):
            if reject:
                rejects.append(reject)
            else:
                region = Location.parse(photo.uri).region
                hashed[image_id_of(sha256, region)].append((photo, sha256))
            progress(done)
    found = (_merged(image_id, copies) for image_id, copies in sorted(hashed.items()))
    return Scan(tuple(found), tuple(sorted(rejects, key=lambda r: r.uri)))


def image_id_of(sha256: str, region: Region | None) -> str:
    """Id of a picture: its file's hash, and the region where it is only a part of the file."""
    return fingerprint([sha256, str(region)]) if region else sha256[:ID_DIGITS]


def _hash(photo: SourcePhoto) -> tuple[SourcePhoto, str, Reject | None]:
    try:
        data = read_bytes(photo.uri)
        # Refused here and not by a stage, whose result would outlive the missing package.
        decode.require_decoder(data)
        return photo, hashlib.sha256(data).hexdigest(), None
    except ImageRefused as refused:
        return photo, "", Reject(photo.uri, "images", refused.reason, refused.message)
    except ValueError as error:  # a fragment or scheme that nothing here understands
        said = f"its URI leads nowhere: {error}"
        return photo, "", Reject(photo.uri, "images", "missing", said)


def _merged(image_id: str, copies: list[tuple[SourcePhoto, str]]) -> Found:
    """One picture that is in several places: the first place counts, the others are named.

    An identity that any place gives is that of the picture; where they give different ones, none of
    them is believed.
    """
    copies = sorted(copies, key=lambda copy: copy[0].uri)
    photo, sha256 = copies[0]
    identities = {copy.identity for copy, _ in copies if copy.identity}
    identity = identities.pop() if len(identities) == 1 else None
    also_at = tuple(copy.uri for copy, _ in copies[1:])
    return Found(image_id, sha256, replace(photo, identity=identity), also_at)
