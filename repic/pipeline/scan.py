"""Scan of the sources: their photos, each identified by the hash of its bytes."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, reduce
from itertools import groupby
from typing import Any

from repic import sources
from repic.config import Settings, SourceSettings, plugins
from repic.errors import SourceError
from repic.images import formats, network
from repic.images.fetch import ImageRefused, read_bytes
from repic.images.identity import image_id_of
from repic.images.uris import Location
from repic.pipeline.forgotten import Forgotten
from repic.sources.base import RefusedPhoto, SourcePhoto, strictest
from storage.hashing import fingerprint

TRANSIENT = frozenset(
    {
        *("forbidden", "denied", "rate-limited", "unavailable"),
        *("missing", "unreadable", "not-a-file", "link-loop", "changed"),
    }
)
"""Reasons that concern a photo's location, not its bytes; a later scan may succeed."""


@dataclass(frozen=True)
class Reject:
    """An input that was refused, and why; one row of the quarantine."""

    uri: str
    stage: str
    error: str
    message: str
    image_id: str | None = None

    @property
    def transient(self) -> bool:
        """Whether the reason concerns the location, so that a later scan may succeed."""
        return self.error in TRANSIENT


@dataclass(frozen=True)
class ScannedPhoto:
    """A photo whose bytes could be read; `also_at` are further URIs of the same picture."""

    image_id: str
    sha256: str
    photo: SourcePhoto
    also_at: tuple[str, ...] = ()

    @property
    def uris(self) -> tuple[str, ...]:
        """All URIs of the picture; the first one is used."""
        return self.photo.uri, *self.also_at


@dataclass(frozen=True)
class Scan:
    """Content of the sources at one moment: photos ordered by image_id, rejects by URI.

    Attributes:
        found: Number of URIs of each source; one of several sources counts for the first.
        plugins: The plug-ins that listed them, by kind of source.
        also_shows: Identities that a copy gives and its picture has not, by image_id; and those of
            a reject, by its URI.
    """

    photos: tuple[ScannedPhoto, ...]
    rejects: tuple[Reject, ...]
    found: Mapping[str, int] = field(default_factory=dict)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    also_shows: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the bytes, URIs and labels of all photos, and of the plug-ins that gave them."""
        content: list[Any] = [[asdict(p) for p in self.photos], [asdict(r) for r in self.rejects]]
        return fingerprint([*content, dict(self.plugins)] if self.plugins else content)

    @property
    def files(self) -> int:
        """Number of URIs in the sources, duplicates and unreadable ones included."""
        return sum(len(photo.uris) for photo in self.photos) + len(self.rejects)

    def without_forgotten(self, forgotten: Forgotten) -> Scan:
        """The same sources without what is to be forgotten, wherever it is found."""
        if not forgotten:
            return self
        none: frozenset[str] = frozenset()
        photos = tuple(
            scanned
            for scanned in self.photos
            if not forgotten.has(
                scanned.sha256,
                scanned.uris,
                scanned.photo.identities | self.also_shows.get(scanned.image_id, none),
            )
        )
        rejects = tuple(
            reject
            for reject in self.rejects
            if not forgotten.has(None, [reject.uri], self.also_shows.get(reject.uri, none))
        )
        if len(photos) == len(self.photos) and len(rejects) == len(self.rejects):
            return self
        return replace(self, photos=photos, rejects=rejects)

    def without(self, gone: Iterable[Reject]) -> Scan:
        """The same sources without URIs whose photo vanished or changed since the scan.

        A photo with further URIs is used from the next one.
        """
        refused = {reject.uri: reject for reject in (*self.rejects, *gone)}
        photos = []
        for scanned in self.photos:
            uris = [uri for uri in scanned.uris if uri not in refused]
            if uris:
                photo = replace(scanned.photo, uri=uris[0])
                photos.append(replace(scanned, photo=photo, also_at=tuple(uris[1:])))
        rejects = sorted(refused.values(), key=lambda reject: reject.uri)
        return replace(self, photos=tuple(photos), rejects=tuple(rejects))


def scan(
    settings: Settings,
    progress: Callable[[int], None] = lambda count: None,
    only: Collection[str] | None = None,
) -> Scan:
    """Read and hash every photo of all sources.

    Always hashes the bytes, because a modification time does not prove that a file is unchanged.

    Args:
        progress: Called with the number of photos hashed so far.
        only: URIs to scan; other photos of the sources are skipped.

    Raises:
        SourceError: a source does not exist or has no photos.
    """
    trust_root(settings)
    photos = [photo for photo in sources.listed(settings) if only is None or photo.uri in only]
    if not photos:
        where = ", ".join(source.path or source.kind for source in settings.sources)
        raise SourceError(
            f"{where} no longer has any of the photos of the latest dataset; "
            "give their new location to `repic build`"
        )
    own = {source.name: source for source in settings.sources}

    def read(photo: SourcePhoto) -> tuple[SourcePhoto, str, Reject | None]:
        return photo, *hashed_file(photo, own[photo.source])

    hashed: dict[str, list[tuple[SourcePhoto, str]]] = defaultdict(list)
    rejects = []
    also_shows: dict[str, frozenset[str]] = {}
    with ThreadPoolExecutor(settings.runtime.workers) as pool:
        for done, (photo, sha256, reject) in enumerate(pool.map(read, photos), start=1):
            if reject:
                rejects.append(reject)
                if photo.identities:
                    also_shows[photo.uri] = frozenset(photo.identities)
            else:
                region = Location.parse(photo.uri).region
                hashed[image_id_of(sha256, region)].append((photo, sha256))
            progress(done)
    order = [source.name for source in settings.sources]
    merged = tuple(_merged(image_id, hashed[image_id], order) for image_id in sorted(hashed))
    for scanned in merged:
        every = {name for photo, _ in hashed[scanned.image_id] for name in photo.identities}
        if more := every - scanned.photo.identities:
            also_shows[scanned.image_id] = frozenset(more)
    found = Counter(photo.source for photo in photos)
    kinds = {source.kind for source in settings.sources}
    made_by = {kind: made for kind in kinds if (made := plugins.identity("sources", kind))}
    ordered = tuple(sorted(rejects, key=lambda r: r.uri))
    return Scan(merged, ordered, dict(found), made_by, also_shows)


def trust_root(settings: Settings) -> None:
    """Allow this process to read from the servers of the configured sources."""
    for source in settings.sources:
        network.trust(source.path)
        network.trust(source.images)


def hashed_file(photo: SourcePhoto, source: SourceSettings) -> tuple[str, Reject | None]:
    """SHA-256 of the file of a photo of this source; or nothing, and why it is refused."""
    if isinstance(photo, RefusedPhoto):
        return "", Reject(photo.uri, "images", photo.reason, photo.why)
    try:
        # What one source trusts is no address for the data set of another.
        with network.trusting_only(source.path, source.images):
            data = read_bytes(photo.uri)
        # Checked here because a stage would keep the refusal after the decoder is installed.
        formats.require_decoder(data)
        return hashlib.sha256(data).hexdigest(), None
    except ImageRefused as refused:
        return "", Reject(photo.uri, "images", refused.reason, refused.message)
    except ValueError as error:  # unknown fragment or scheme
        message = f"its URI leads nowhere: {error}"  # a row of the quarantine: keep the wording
        return "", Reject(photo.uri, "images", "missing", message)


def _merged(
    image_id: str, copies: list[tuple[SourcePhoto, str]], order: Sequence[str]
) -> ScannedPhoto:
    """One picture from all of its copies; the first URI of the first source is used.

    The picture gets the identity and the label that its copies in a source agree on, and none if
    they disagree; its split is the strictest of theirs. Later sources fill what the first leaves
    open.

    Args:
        order: Names of the sources.
    """
    copies = sorted(copies, key=lambda copy: (order.index(copy[0].source), copy[0].uri))
    of_sources = []
    for _, group in groupby(copies, key=lambda copy: copy[0].source):
        own = [photo for photo, _ in group]
        identity, label = _agreed(p.identity for p in own), _agreed(p.label for p in own)
        of_sources.append(replace(own[0], identity=identity, label=label))
    also_at = tuple(copy.uri for copy, _ in copies[1:])
    split = strictest(copy.split for copy, _ in copies)
    photo = replace(reduce(sources.filled, of_sources), split=split)
    return ScannedPhoto(image_id, copies[0][1], photo, also_at)


def _agreed(values: Iterable[str | None]) -> str | None:
    """The one value that is given; None if none is, or several."""
    given = {value for value in values if value}
    return given.pop() if len(given) == 1 else None
