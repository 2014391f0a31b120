"""Photos, objects and pairs of one build, indexed: what examples are made from.

The `repr` of `Photo`, `Object`, `Pair` and `Described` is part of the key of a draft
(`repic.objectives.base.draft_key`), so renaming these classes or their fields rewrites all rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa

from repic.captions.tokens import plain_words
from repic.captions.vocabulary import STOP_WORDS
from repic.images.coordinates import Box
from repic.mining.union_find import connected_components

SAME_OBJECT = 0.5
"""Minimum IoU at which a box counts as that of an object that the source describes."""


@dataclass(frozen=True, slots=True)
class Described:
    """An object as the source describes it; see `annotations` in the images table."""

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
    """Objects that the source describes."""
    near_duplicate_group: str = field(default="", repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the objects that the source describes."""
        return tuple(one.label for one in self.described)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Expressions of the objects that the source describes."""
        return tuple(phrase for one in self.described for phrase in one.expressions)


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a photo; see the objects table. `box` is xyxy in pixels within the photo."""

    object_id: str
    image_id: str
    box: tuple[float, float, float, float]
    label: str
    """The detector's best guess or the owner's word; no text may use it."""
    spoken: str | None
    """What texts call it; None if nothing is sure enough."""
    area_share: float
    same_label_count: int
    cut: bool
    """Whether it is known to be truncated or occluded."""
    expressions: tuple[str, ...]
    identity: str | None
    phrases: tuple[str, ...]
    """Its expressions, or else those of the described object at its box.

    A detector's box has no expressions, so no prompt uses any; but answers are checked by the
    phrases of the source.
    """
    of_shot: bool = field(default=False, repr=False)
    """Whether its identity is a part of a shot, which may show the same as another one."""


class Pair(NamedTuple):
    """Two objects in two photos; see the pairs table."""

    pair_id: str
    kind: str
    band: str
    anchor_id: str
    other_id: str
    similarity: float
    split: str


FREQUENT = 0.05
"""Share of the photos that have a frequent word."""


@dataclass(frozen=True, slots=True)
class DocumentFrequency:
    """In how many photos each word occurs.

    Attributes:
        photos: Number of photos.
        counts: Word -> number of photos.
        frequent: Words of at least `FREQUENT` of the photos, and of two.
    """

    photos: int
    counts: Counter[str]
    frequent: frozenset[str]


@dataclass
class Corpus:
    """Photos, objects and usable pairs of one build.

    A pair is not usable if a review rejects it, if it is doubtful and no review accepts it, if an
    object or photo of it is missing, or if it crosses splits. Two objects are in one *group* if
    they share a labelled identity or if positive pairs link them. Doubtful pairs link, too, because
    a group has all objects that may be the same.

    Attributes:
        photos: image_id -> photo.
        objects: object_id -> object.
        splits: image_id -> split, for photos that are used.
        refused: Number of pairs not used, by reason.
        objects_of: image_id -> objects of the photo.
    """

    photos: dict[str, Photo]
    objects: dict[str, Object]
    pairs: list[Pair]
    splits: dict[str, str]
    refused: dict[str, int]
    objects_of: dict[str, list[Object]] = field(default_factory=lambda: defaultdict(list))
    _groups: dict[str, str] = field(default_factory=dict)
    _separated: set[tuple[str, str]] = field(default_factory=set)
    _words: dict[str, dict[str, None]] = field(default_factory=dict)
    _frequencies: dict[str, DocumentFrequency] = field(default_factory=dict)
    _contents: dict[str, str] = field(default_factory=dict)
    _views: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(
        cls,
        images: pa.Table,
        objects: pa.Table,
        labels: Mapping[str, str | None],
        pairs: pa.Table,
        splits: Mapping[str, str | None],
    ) -> Corpus:
        """The corpus of the tables of one build.

        Args:
            labels: object_id -> what texts call it, or None.
            splits: image_id -> split; a photo that is missing or has None is not used.
        """
        photos = {row["image_id"]: _photo(row) for row in images.to_pylist()}
        used = {
            image_id: split for image_id, split in splits.items() if split and image_id in photos
        }
        by_id = {
            row["object_id"]: _object(row, labels.get(row["object_id"]), photos[row["image_id"]])
            for row in sorted(objects.to_pylist(), key=itemgetter("object_id"))
            if row["image_id"] in photos
        }
        corpus = cls(photos, by_id, [], used, defaultdict(int))
        for obj in by_id.values():
            corpus.objects_of[obj.image_id].append(obj)
        # Sorted, so that the result does not depend on the order of rows in the table.
        corpus._add_pairs(sorted(pairs.to_pylist(), key=itemgetter("pair_id")))
        return corpus

    def group(self, object_id: str) -> str:
        """The group of an object: the id of one of its members, or its identity."""
        return self._groups[object_id]

    def recurs(self, object_id: str) -> bool:
        """Whether its group is in two photos that are not near-duplicates."""
        if not self._views:
            for obj in self.objects.values():
                photo = self.photos[obj.image_id]
                self._views[self.group(obj.object_id)].add(photo.near_duplicate_group)
        return len(self._views[self.group(object_id)]) > 1

    def limited_to(self, image_ids: Collection[str]) -> Corpus:
        """The same corpus in which other photos are in no split, and so in no row."""
        splits = {image_id: s for image_id, s in self.splits.items() if image_id in image_ids}
        pairs = [
            pair
            for pair in self.pairs
            if all(self.objects[end].image_id in splits for end in (pair.anchor_id, pair.other_id))
        ]
        return replace(self, splits=splits, pairs=pairs, _frequencies={})

    def is_absent(self, obj: Object, photo: Photo) -> bool:
        """Whether it is certain that the object is not in the photo.

        It is if the photo is not labelled with the object's identity, no object of the photo is in
        its group, every object of the photo with its label is known to be different, and at least
        one object of the photo is. Two objects are known to be different if both have a labelled
        identity and these differ, or if a usable negative pair separates their groups. Only
        such a pair counts if one is named by a shot.
        """
        if obj.identity is not None and photo.identity == obj.identity:
            return False
        is_any_different = False
        for other in self.objects_of[photo.image_id]:
            if self.group(other.object_id) == self.group(obj.object_id):
                return False
            if self._is_different(obj, other):
                is_any_different = True
            elif other.label == obj.label:
                return False
        return is_any_different

    def words_of(self, image_id: str) -> dict[str, None]:
        """Distinct words of a photo's caption, labels and expressions, in order."""
        # Cached: dozens of photos ask for the words of the same one, half of the time of a build.
        if image_id not in self._words:
            photo = self.photos[image_id]
            texts = [photo.caption or "", *photo.labels, *photo.phrases]
            for obj in self.objects_of[image_id]:
                texts += [obj.spoken or "", *obj.expressions]
            words = plain_words("\n".join(texts))
            self._words[image_id] = {word: None for word in words if word not in STOP_WORDS}
        return self._words[image_id]

    def document_frequency(self, split: str) -> DocumentFrequency:
        """In how many photos of a split and of train each of their `words_of` occurs.

        Words of train do not depend on other splits, which a few photos would make too common.
        """
        if split not in self._frequencies:
            image_ids = [image_id for image_id, s in self.splits.items() if s in ("train", split)]
            counts = Counter(word for image_id in image_ids for word in self.words_of(image_id))
            least = max(2, FREQUENT * len(image_ids))
            frequent = frozenset(word for word, count in counts.items() if count >= least)
            self._frequencies[split] = DocumentFrequency(len(image_ids), counts, frequent)
        return self._frequencies[split]

    def content(self, image_id: str) -> str:
        """Hash of a photo and its objects, for the keys of drafts."""
        if image_id not in self._contents:
            text = repr((self.photos[image_id], self.objects_of[image_id]))
            self._contents[image_id] = blake2b(
                text.encode("utf-8", "surrogatepass"), digest_size=16
            ).hexdigest()
        return self._contents[image_id]

    def _is_different(self, obj: Object, other: Object) -> bool:
        named = obj.identity is not None and other.identity is not None
        if named and not (obj.of_shot or other.of_shot):
            return obj.identity != other.identity
        first, second = sorted((self.group(obj.object_id), self.group(other.object_id)))
        return (first, second) in self._separated

    def _add_pairs(self, rows: list[dict[str, Any]]) -> None:
        negatives = []
        links = [
            (obj.object_id, f"identity:{obj.identity}")
            for obj in self.objects.values()
            if obj.identity is not None
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
            splits = {self.splits.get(anchor.image_id), self.splits.get(other.image_id)}
            if splits != {row["split"]}:
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
            self._separated.add((low, high))


def _photo(row: Mapping[str, Any]) -> Photo:
    return Photo(
        row["image_id"],
        row["uri"],
        row["width"],
        row["height"],
        row["identity"],
        row["caption"],
        tuple(
            Described(Box.of(entry["box"]), entry["label"], tuple(entry["expressions"]))
            for entry in row["annotations"]
        ),
        row["near_duplicate_group"],
    )


def _object(row: Mapping[str, Any], spoken: str | None, photo: Photo) -> Object:
    box = Box.of_row(row).clip(photo.width, photo.height)
    rounded = box.round(2)
    return Object(
        row["object_id"],
        row["image_id"],
        (rounded.x1, rounded.y1, rounded.x2, rounded.y2),
        row["label"],
        spoken,
        row["area_share"],
        row["same_label_count"],
        bool(row["truncated"] or row["occluded"]),
        tuple(row["expressions"]),
        row["identity"],
        tuple(row["expressions"]) or _expressions_at(rounded, photo),
        row["identity_origin"] == "shot",
    )


def _expressions_at(box: Box, photo: Photo) -> tuple[str, ...]:
    """Expressions of the described object at this box; none if no box overlaps enough."""
    candidates = [one for one in photo.described if one.expressions]
    best = max(candidates, key=lambda one: box.iou(one.box), default=None)
    return best.expressions if best and box.iou(best.box) >= SAME_OBJECT else ()


def texts_of(photo: Photo, objects: Iterable[Object]) -> list[str]:
    """Caption, labels and expressions of a photo and some objects; no name may occur in them."""
    texts = [photo.caption or "", *photo.labels]
    for obj in objects:
        texts += [obj.label, obj.spoken or "", *obj.expressions]
    return texts
