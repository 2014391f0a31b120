"""What examples are built from: the photos, objects and pairs of one build, ready for look-ups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa

from repic.captions.tokens import STOP_WORDS, plain_words
from repic.images.coordinates import Box
from repic.mining.components import connected_components

SAME_OBJECT = 0.5
"""IoU from which on a box is that of an object that the source describes."""


@dataclass(frozen=True, slots=True)
class Described:
    """An object as the source describes it; see the annotations of the images table."""

    box: Box
    label: str
    expressions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo; see the images table."""

    image_id: str
    uri: str
    width: int
    height: int
    identity: str | None
    caption: str | None
    described: tuple[Described, ...]
    """Objects that the source itself describes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the objects that the source itself describes."""
        return tuple(thing.label for thing in self.described)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Expressions of all objects that the source itself describes."""
        return tuple(phrase for thing in self.described for phrase in thing.expressions)


@dataclass(frozen=True, slots=True)
class Object:
    """A box in a photo; see the objects table. `box` is xyxy in pixels, clipped to the photo."""

    object_id: str
    image_id: str
    box: tuple[float, float, float, float]
    label: str
    area_share: float
    same_label_count: int
    cut: bool
    """Whether the frame cuts it or something hides a part, as far as is known."""
    expressions: tuple[str, ...]
    identity: str | None
    phrases: tuple[str, ...]
    """What is true of it: its expressions, or else those of the described object at its box.

    A detector's box has no expressions, so none are asked and none are in a prompt; but an answer
    may be checked by what the source knows.
    """


class Pair(NamedTuple):
    """Two objects in two photos; see the pairs table."""

    pair_id: str
    kind: str
    band: str
    anchor_id: str
    other_id: str
    similarity: float
    split: str


@dataclass(frozen=True, slots=True)
class DocumentFrequency:
    """How many photos there are, and how many of them each word describes."""

    photos: int
    of: Counter[str]


@dataclass
class Material:
    """Photos, objects and usable pairs of one build.

    Left out are pairs that a person rejected, pairs that are doubtful and that nobody accepted,
    pairs of an object or a photo that is not there, and pairs across splits. Two objects are in one
    *group* if they share a labelled identity or if positive pairs link them; here doubtful ones
    count, since the question is what may be the same.

    Attributes:
        splits: Photo -> split, for photos that are used.
        objects_of: Photo -> its objects.
        refused: Pairs not used, by reason.
    """

    photos: dict[str, Photo]
    objects: dict[str, Object]
    pairs: list[Pair]
    splits: dict[str, str]
    refused: dict[str, int]
    objects_of: dict[str, list[Object]] = field(default_factory=lambda: defaultdict(list))
    _groups: dict[str, str] = field(default_factory=dict)
    _unlike: set[tuple[str, str]] = field(default_factory=set)
    _words: dict[str, dict[str, None]] = field(default_factory=dict)
    _frequency: dict[str, DocumentFrequency] = field(default_factory=dict)
    _contents: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        images: pa.Table,
        objects: pa.Table,
        pairs: pa.Table,
        splits: Mapping[str, str | None],
    ) -> Material:
        """Material from the tables of one build.

        Args:
            splits: Photo -> its split; photos that are missing or None are not used.
        """
        photos = {row["image_id"]: _photo(row) for row in images.to_pylist()}
        kept = {photo: split for photo, split in splits.items() if split and photo in photos}
        things = {
            row["object_id"]: _object(row, photos[row["image_id"]])
            for row in sorted(objects.to_pylist(), key=itemgetter("object_id"))
            if row["image_id"] in photos
        }
        material = cls(photos, things, [], kept, defaultdict(int))
        for thing in things.values():
            material.objects_of[thing.image_id].append(thing)
        # Sorted, so that the order of rows in a table decides nothing.
        material._take(sorted(pairs.to_pylist(), key=itemgetter("pair_id")))
        return material

    def group(self, object_id: str) -> str:
        """The group of an object, named by one of its members or by its identity."""
        return self._groups[object_id]

    def is_absent(self, thing: Object, photo: Photo) -> bool:
        """Whether it is certain that the object is not in the photo.

        Certain is: the photo itself is not labelled with its identity; no object of the photo is
        in its group; every object of its label in the photo is known to be another; and at least
        one object of the photo is. Known to be another are two objects with different labelled
        identities, and two groups that a usable negative pair tells apart.
        """
        if thing.identity is not None and photo.identity == thing.identity:
            return False
        known = False
        for other in self.objects_of[photo.image_id]:
            if self.group(other.object_id) == self.group(thing.object_id):
                return False
            if self._is_another(thing, other):
                known = True
            elif other.label == thing.label:
                return False
        return known

    def words_of(self, image_id: str) -> dict[str, None]:
        """Words of a photo's caption, of what its source describes and of its objects, in order."""
        # A photo is a stranger to dozens of others, and reading it anew took half of all the time.
        if image_id not in self._words:
            photo = self.photos[image_id]
            texts = [photo.caption or "", *photo.labels, *photo.phrases]
            for thing in self.objects_of[image_id]:
                texts += [thing.label, *thing.expressions]
            words = plain_words("\n".join(texts))
            self._words[image_id] = {word: None for word in words if word not in STOP_WORDS}
        return self._words[image_id]

    def document_frequency(self, split: str) -> DocumentFrequency:
        """In how many of a split's photos each word is (`words_of`)."""
        if split not in self._frequency:
            inside = [photo for photo, place in self.splits.items() if place == split]
            counts = Counter(word for photo in inside for word in self.words_of(photo))
            self._frequency[split] = DocumentFrequency(len(inside), counts)
        return self._frequency[split]

    def content(self, image_id: str) -> str:
        """Hash of a photo and all its objects: what a row may say of them."""
        if image_id not in self._contents:
            told = repr((self.photos[image_id], self.objects_of[image_id]))
            self._contents[image_id] = blake2b(
                told.encode("utf-8", "surrogatepass"), digest_size=16
            ).hexdigest()
        return self._contents[image_id]

    def _is_another(self, thing: Object, other: Object) -> bool:
        if thing.identity is not None and other.identity is not None:
            return thing.identity != other.identity
        first, second = sorted((self.group(thing.object_id), self.group(other.object_id)))
        return (first, second) in self._unlike

    def _take(self, rows: list[dict[str, Any]]) -> None:
        negatives = []
        links = [
            (thing.object_id, f"identity:{thing.identity}")
            for thing in self.objects.values()
            if thing.identity is not None
        ]
        for row in rows:
            anchor, other = self.objects.get(row["anchor_id"]), self.objects.get(row["other_id"])
            if anchor is None or other is None:
                self.refused["object_missing"] += 1
                continue
            if row["review"] == "reject":
                self.refused["review_rejects"] += 1
                continue
            if row["kind"] == "positive":
                links.append((anchor.object_id, other.object_id))
            if row["doubtful"] and row["review"] != "accept":
                self.refused["doubtful"] += 1
                continue
            if row["kind"] == "negative":
                negatives.append((anchor.object_id, other.object_id))
            places = {self.splits.get(anchor.image_id), self.splits.get(other.image_id)}
            if places != {row["split"]}:
                self.refused["crosses_splits"] += 1
                continue
            self.pairs.append(
                Pair(
                    row["pair_id"],
                    row["kind"],
                    row["band"],
                    anchor.object_id,
                    other.object_id,
                    row["similarity"],
                    row["split"],
                )
            )
        self._groups = connected_components(self.objects, links)
        for first, second in negatives:
            low, high = sorted((self.group(first), self.group(second)))
            self._unlike.add((low, high))


def _photo(row: Mapping[str, Any]) -> Photo:
    return Photo(
        row["image_id"],
        row["uri"],
        row["width"],
        row["height"],
        row["identity"],
        row["caption"],
        tuple(
            Described(Box.of(note["box"]), note["label"], tuple(note["expressions"]))
            for note in row["annotations"]
        ),
    )


def _object(row: Mapping[str, Any], photo: Photo) -> Object:
    box = Box(row["x1"], row["y1"], row["x2"], row["y2"]).clip(photo.width, photo.height)
    rounded = box.round(2)
    return Object(
        row["object_id"],
        row["image_id"],
        (rounded.x1, rounded.y1, rounded.x2, rounded.y2),
        row["label"],
        row["area_share"],
        row["same_label_count"],
        bool(row["truncated"] or row["occluded"]),
        tuple(row["expressions"]),
        row["identity"],
        tuple(row["expressions"]) or _described(rounded, photo),
    )


def _described(box: Box, photo: Photo) -> tuple[str, ...]:
    """Expressions of the described object at this box; none where no box is alike enough."""
    told = [thing for thing in photo.described if thing.expressions]
    best = max(told, key=lambda thing: box.iou(thing.box), default=None)
    return best.expressions if best and box.iou(best.box) >= SAME_OBJECT else ()


def text_of(photo: Photo, things: Iterable[Object]) -> list[str]:
    """All that is said about a photo and some objects, for choosing names that are not in it."""
    said = [photo.caption or "", *photo.labels]
    for thing in things:
        said += [thing.label, *thing.expressions]
    return said
