"""Forgetting photos: what a person names becomes tombstones, and reviews lose their decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from repic import mining
from repic.config.build import MiningSettings
from repic.errors import ForgetError
from repic.images.decode import probe
from repic.images.fetch import ImageRefused, read_bytes
from repic.images.uris import Location, to_uri
from repic.pipeline import forgotten, remains, reviews
from repic.pipeline.forgotten import Forgotten
from repic.sources.base import one_form
from storage.store import Store

Meaning = Literal["photo", "uri", "identity"]


@dataclass(frozen=True)
class KnownPhoto:
    """A photo as a version of the table `images` has it."""

    image_id: str
    sha256: str
    uris: tuple[str, ...]
    identities: frozenset[str]
    phash: str
    near_duplicate_group: str


@dataclass(frozen=True)
class Alike:
    """A photo that looks like a forgotten one: perhaps a copy that was scaled or saved again."""

    image_id: str
    uri: str


@dataclass(frozen=True)
class Forgetting:
    """What was forgotten.

    Attributes:
        meaning: What the given text was: the id of a photo, an address or an identity.
        photos: Ids of the photos that versions have, or had until now.
        near_duplicates: Photos of any version that look like them, and are not forgotten.
        decisions: Decisions of reviewers that were dropped.
    """

    meaning: Meaning
    photos: tuple[str, ...]
    near_duplicates: tuple[Alike, ...]
    decisions: int

    def as_json(self) -> dict[str, Any]:
        """What `repic forget --json` prints as `forgotten`."""
        return asdict(self)


def forget(
    store: Store, what: str, meaning: Meaning | None = None, reason: str | None = None
) -> Forgetting:
    """Leave photos out of all builds from now on. Versions that exist stay as they are.

    Args:
        what: Id of a photo, its address (URI or path), or an identity.
        meaning: Which of these it is, if it could be several, or if no version has it.

    Raises:
        ForgetError: it could mean several things, or nothing.
        storage.errors.StoreError: the store cannot be read or written.
    """
    known = list(_known(store))
    meaning, found = _meant(known, what, meaning)
    files = {photo.sha256 for photo in found}
    uris, identity = set(), None
    looks: set[str] = set()
    if meaning == "identity":
        identity = one_form(what)
    if meaning == "uri":
        uris = {to_uri(what), what} if to_uri(what) != what else {what}
        for data in [data for uri in uris if not found and (data := _content(uri))]:
            files.add(hashlib.sha256(data).hexdigest())
            looks |= _look(data, what)
    found = [photo for photo in known if photo.sha256 in files]
    uris |= {uri for photo in found for uri in photo.uris}
    tombstones = [forgotten.of_file(sha256) for sha256 in sorted(files)]
    tombstones += [("uri", forgotten.hashed(uri)) for uri in sorted(uris)]
    tombstones += forgotten.of_identity(identity) if identity else []
    forgotten.add(store, tombstones, reason)
    ids = {photo.image_id for photo in found}
    looks |= {photo.phash for photo in found}
    groups = {photo.near_duplicate_group for photo in found}
    alike = _alike(known, looks, groups, Forgotten.of(store))
    return Forgetting(meaning, tuple(sorted(ids)), alike, _drop_decisions(store))


def undo(store: Store) -> list[dict[str, Any]]:
    """Take back the last `forget`: the next build reads again what it left out.

    Deleted versions and dropped decisions do not come back. Called again, it takes back the one
    before.

    Returns:
        The rows of the table `forgotten` that are gone.

    Raises:
        ForgetError: nothing is forgotten.
        storage.errors.StoreError: the store cannot be read or written.
    """
    return forgotten.undo(store)


def _known(store: Store) -> Iterator[KnownPhoto]:
    """The photos of every file of the table `images`, and whom their objects show."""
    shows: dict[str, set[str]] = {}
    for path in sorted(store.files.find("shards/objects")):
        for row in _rows(store, path, ["image_id", "identity"]):
            if row["identity"]:
                shows.setdefault(row["image_id"], set()).add(row["identity"])
    for row in reviews.decisions(store):  # those that no build has applied yet as well
        if row.get("identity") and (image_id := reviews.photo_of(row)):
            shows.setdefault(image_id, set()).add(row["identity"])
    columns = ["image_id", "sha256", "uri", "also_at", "identity", "annotations"]
    for path in sorted(store.files.find("shards/images")):
        for row in _rows(store, path, [*columns, "phash", "near_duplicate_group"]):
            named = {row["identity"], *(each["identity"] for each in row["annotations"])} - {None}
            yield KnownPhoto(
                row["image_id"],
                row["sha256"],
                (row["uri"], *row["also_at"]),
                frozenset(named | shows.get(row["image_id"], set())),
                row["phash"],
                row["near_duplicate_group"],
            )


def _rows(store: Store, path: str, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = remains.read_texts(store.files, path, columns).to_pylist()
    return rows


def _meant(
    known: list[KnownPhoto], what: str, meaning: Meaning | None
) -> tuple[Meaning, list[KnownPhoto]]:
    """What a text means, and the photos that it names."""
    if not what.strip():
        raise ForgetError("it is empty: name a photo, an address or an identity")
    addresses, identity = {what, to_uri(what)}, one_form(what)
    found: dict[Meaning, list[KnownPhoto]] = {
        "photo": [photo for photo in known if photo.image_id == what],
        "uri": [photo for photo in known if addresses.intersection(photo.uris)],
        "identity": [photo for photo in known if identity in photo.identities],
    }
    if meaning:
        if meaning == "photo" and not found[meaning]:
            raise ForgetError(f"no version has a photo {what}: give its address instead")
        return meaning, found[meaning]
    possible = [name for name, photos in found.items() if photos]
    if len(possible) == 1:
        return possible[0], found[possible[0]]
    if possible:
        raise ForgetError(f"{what} could be {' or '.join(possible)}: say which with --as")
    raise ForgetError(
        f"no version has a photo, an address or an identity {what}: check it, or keep it out "
        "from now on with `--as uri` or `--as identity`"
    )


def _content(uri: str) -> bytes | None:
    """A local file that no version has, such as one in quarantine."""
    if not uri.startswith("file://"):
        return None
    try:
        return read_bytes(uri)
    except (ImageRefused, ValueError):
        return None


def _look(data: bytes, what: str) -> set[str]:
    """The perceptual hash of a file's picture, if it can be decoded."""
    try:
        return {probe(data, Location.parse(to_uri(what)).region).phash}
    except (ImageRefused, ValueError):
        return set()


def _alike(
    known: list[KnownPhoto], looks: set[str], groups: set[str], forgotten: Forgotten
) -> tuple[Alike, ...]:
    """Photos that stay and look like forgotten ones.

    Perceptual hashes are compared over all versions: a copy may be of another one than the photo.

    Args:
        looks: Perceptual hashes of the forgotten photos.
        groups: Their groups of near-duplicates, for which a build may have used other settings.
    """
    left = {
        photo.image_id: photo
        for photo in known
        if not forgotten.has(photo.sha256, photo.uris, photo.identities)
    }
    hashes = np.array([int(h, 16) for h in [*looks, *(p.phash for p in left.values())]], np.uint64)
    cluster = mining.near_duplicates(hashes, MiningSettings().near_duplicate_bits)
    near = np.isin(cluster[len(looks) :], cluster[: len(looks)])
    return tuple(
        Alike(image_id, photo.uris[0])
        for (image_id, photo), is_near in sorted(zip(left.items(), near, strict=True))
        if is_near or photo.near_duplicate_group in groups
    )


def _drop_decisions(store: Store) -> int:
    """Withdraw the decisions of reviewers on what is forgotten; returns their number."""
    decided = reviews.decisions(store)
    if not decided:
        return 0
    ids = remains.remains(store).ids
    dropped = [
        {**row, "decision": None}
        for row in decided
        if row["subject_id"] in ids or reviews.photo_of(row) in ids
    ]
    if dropped:
        reviews.record(store, dropped)
    return len(dropped)
