"""Photos, objects and pairs of one build as columns: what is decided for all photos together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from repic.config import SPLITS
from repic.images.coordinates import Box
from repic.mining.segments import ranges
from repic.mining.union_find import connected

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

PHOTO_COLUMNS = ("image_id", "uri", "width", "height", "source", "caption", "annotations")
OBJECT_COLUMNS = (
    "object_id",
    "image_id",
    "label",
    "area_share",
    "same_label_count",
    "expressions",
)
READ = {
    "images": (*PHOTO_COLUMNS, "identity", "near_duplicate_group"),
    "objects": (
        *(*OBJECT_COLUMNS, "x1", "y1", "x2", "y2"),
        *("truncated", "occluded", "identity", "identity_origin"),
    ),
    "labels": ("object_id", "label"),
    "pairs": (
        *("pair_id", "kind", "band", "anchor_id", "other_id", "similarity"),
        *("split", "doubtful", "review"),
    ),
    "groups": ("image_id", "split"),
}
"""Columns of each table that a corpus is made from."""

TEXT = pa.string()

AT_ONCE = 1 << 18
"""Objects and photos that are compared at a time."""


@dataclass(frozen=True)
class Lists:
    """Lists of integers, one after the other, as of the objects of each photo."""

    start: Ints
    values: Ints

    @classmethod
    def by(cls, owner: Ints, count: int, values: Ints | None = None) -> Lists:
        """The values (by default, their places) of each of `count` owners, in ascending places."""
        order = np.argsort(owner, kind="stable")
        order = order[np.searchsorted(owner[order], 0) :]
        start = np.searchsorted(owner[order], np.arange(count + 1))
        return cls(start, order if values is None else values[order])

    def of(self, owners: Ints) -> tuple[Ints, Ints]:
        """Place of the owner among `owners` of each value, and the value."""
        row, place = ranges(self.start[owners], self.start[owners + 1] - self.start[owners])
        return row, self.values[place]


@dataclass(frozen=True)
class Corpus:
    """Photos, objects and usable pairs of one build. Photos and objects are ordered by their ids.

    A pair is not usable if a review rejects it, if it is doubtful and no review accepts it, if an
    object or photo of it is missing, or if it crosses splits. Two objects are in one *group* if
    they share a labelled identity or if positive pairs link them. Doubtful pairs link, too, because
    a group has all objects that may be the same.

    Attributes:
        photos: Rows of the images table.
        objects: Rows of the objects table, with `spoken` (what texts call it) and `cut`.
        pairs: Id, band and similarity of the usable pairs, ordered by id.
        split: Index in `SPLITS` of each photo, -1 for a photo that is not used.
        refused: Number of pairs not used, by reason.
        photo: Photo of each object.
        boxes: Of the objects, float64 (n, 4), xyxy in pixels within the photo.
        group: Of each object.
        anchor: Object of each pair; `other` likewise.
        positive: Kind of each pair.
        pair: Number of each pair in the corpus of all photos.
        near_duplicates: Group of near-duplicates of each photo.
        identity: Labelled identity of each object, -1 if unknown; `photo_identity` of each photo.
        label: Of each object, as a number.
        of_shot: Whether the identity of an object is a part of a shot, which may show the same as
            another one.
        separated: Sorted pairs of groups (lower * number of objects + higher) that a usable
            negative pair separates.
        objects_of: Objects of each photo.
    """

    photos: pa.Table
    objects: pa.Table
    pairs: pa.Table
    split: Ints
    refused: Mapping[str, int]
    photo: Ints
    boxes: NDArray[np.float64]
    group: Ints
    anchor: Ints
    other: Ints
    positive: Flags
    pair: Ints
    near_duplicates: Ints
    identity: Ints
    photo_identity: Ints
    of_shot: Flags
    label: Ints
    separated: Ints
    objects_of: Lists

    @classmethod
    def of(
        cls,
        images: pa.Table,
        objects: pa.Table,
        labels: pa.Table,
        pairs: pa.Table,
        splits: pa.Table,
    ) -> Corpus:
        """The corpus of the tables of one build.

        Args:
            labels: `object_id` and `label`, what texts call it, or null.
            splits: `image_id` and `split`, null for a photo that is not used; rows may repeat.
        """
        photos = images.sort_by("image_id").combine_chunks()
        objects = objects.filter(pc.is_in(objects["image_id"], photos["image_id"]))
        objects = objects.sort_by("object_id").combine_chunks()
        photo = _index(objects["image_id"], photos["image_id"])
        identity = _codes([objects["identity"], photos["identity"]])
        boxes = _boxes(objects, photos, photo)
        pairs, refused, links, negatives = _usable(pairs, objects, photo, _splits(photos, splits))
        group = _groups(identity[: len(photo)], links)
        return cls(
            photos=photos.select([*PHOTO_COLUMNS]),
            objects=_with_spoken(objects, labels),
            pairs=pairs.select(["pair_id", "band", "similarity"]),
            split=_splits(photos, splits),
            refused=refused,
            photo=photo,
            boxes=boxes,
            group=group,
            anchor=pairs["anchor"].to_numpy(),
            other=pairs["other"].to_numpy(),
            positive=_flags(pairs["positive"]),
            pair=np.arange(pairs.num_rows),
            near_duplicates=_codes([photos["near_duplicate_group"]]),
            identity=identity[: len(photo)],
            photo_identity=identity[len(photo) :],
            of_shot=_flags(pc.fill_null(pc.equal(objects["identity_origin"], "shot"), False)),
            label=_codes([objects["label"]]),
            separated=np.unique(_both(group[negatives[0]], group[negatives[1]], len(photo))),
            objects_of=Lists.by(photo, photos.num_rows),
        )

    def limited_to(self, used: Flags) -> Corpus:
        """The same corpus in which other photos are in no split, and so in no row."""
        kept = used[self.photo[self.anchor]] & used[self.photo[self.other]]
        return replace(
            self,
            split=np.where(used, self.split, -1),
            pairs=self.pairs.filter(pa.array(kept)),
            anchor=self.anchor[kept],
            other=self.other[kept],
            positive=self.positive[kept],
            pair=self.pair[kept],
        )

    @cached_property
    def recurs(self) -> Flags:
        """Whether the group of each object is in two photos that are not near-duplicates."""
        views = np.unique(np.stack([self.group, self.near_duplicates[self.photo]]), axis=1)
        return np.bincount(views[0], minlength=len(self.group))[self.group] > 1

    @cached_property
    def object_keys(self) -> NDArray[np.uint64]:
        """The first 64 bits of the id of each object; `pair_keys` likewise."""
        return first_bits(self.objects["object_id"])

    @cached_property
    def pair_keys(self) -> NDArray[np.uint64]:
        """The first 64 bits of the id of each pair."""
        return first_bits(self.pairs["pair_id"])

    @cached_property
    def absences(self) -> Flags:
        """Whether an end of each pair is certainly absent from the photo of its other end.

        bool (2, pairs), of the anchors and of the others; False for positive pairs.
        """
        found = np.zeros((2, len(self.anchor)), bool)
        rows = np.flatnonzero(~self.positive)
        anchor, other = self.anchor[rows], self.other[rows]
        found[0, rows] = self.absent(anchor, self.photo[other])
        found[1, rows] = self.absent(other, self.photo[anchor])
        return found

    def absent(self, objects: Ints, photos: Ints) -> Flags:
        """Whether it is certain that each object is not in the photo beside it.

        It is if the photo is not labelled with the object's identity, no object of the photo is in
        its group, every object of the photo with its label is known to be different, and at least
        one object of the photo is. Two objects are known to be different if both have a labelled
        identity and these differ, or if a usable negative pair separates their groups. Only
        such a pair counts if one is named by a shot.
        """
        steps = range(0, len(objects), AT_ONCE)
        parts = (slice(start, start + AT_ONCE) for start in steps)
        found = [self._absent(objects[part], photos[part]) for part in parts]
        return np.concatenate([np.zeros(0, bool), *found])

    def _absent(self, objects: Ints, photos: Ints) -> Flags:
        row, other = self.objects_of.of(photos)
        mine = objects[row]
        different = self._different(mine, other)
        possible = (self.group[mine] == self.group[other]) | (
            ~different & (self.label[mine] == self.label[other])
        )
        identity = self.identity[objects]
        named = (identity >= 0) & (identity == self.photo_identity[photos])
        counts = [np.bincount(row[of], minlength=len(objects)) for of in (different, possible)]
        return (counts[0] > 0) & (counts[1] == 0) & ~named

    def _different(self, one: Ints, other: Ints) -> Flags:
        named = (self.identity[one] >= 0) & (self.identity[other] >= 0)
        named &= ~(self.of_shot[one] | self.of_shot[other])
        both = _both(self.group[one], self.group[other], len(self.group))
        separated = contains(self.separated, both)
        return np.where(named, self.identity[one] != self.identity[other], separated)


def first_bits(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The first 64 bits of hexadecimal ids, uint64 (n,)."""
    return _bits(ids, 16)[:, 0]


def all_bits(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Ids of 32 hexadecimal digits as numbers, uint64 (n, 2)."""
    return _bits(ids, 32)


def _bits(ids: pa.ChunkedArray, digits: int) -> NDArray[np.uint64]:
    bits, filled = np.empty((len(ids), digits // 16), np.uint64), 0
    for start in range(0, len(ids), AT_ONCE):
        for chunk in ids.slice(start, AT_ONCE).chunks:
            text = "".join(pc.utf8_slice_codeunits(chunk, 0, digits).to_pylist())
            found = np.frombuffer(bytes.fromhex(text), ">u8").reshape(-1, digits // 16)
            bits[filled : filled + len(found)] = found
            filled += len(found)
    return bits


def _usable(
    pairs: pa.Table, objects: pa.Table, photo: Ints, split: Ints
) -> tuple[pa.Table, Mapping[str, int], NDArray[np.int64], NDArray[np.int64]]:
    """The usable pairs; why others are not; positive pairs that link, and negative that separate.

    The last two as objects, int64 (2, n).
    """
    ids = objects["object_id"]
    ends = np.stack([_index(pairs[end], ids) for end in ("anchor_id", "other_id")])
    review = pc.fill_null(pairs["review"].cast(TEXT), "")
    positive = _flags(pc.equal(pairs["kind"], "positive"))
    missing = (ends < 0).any(axis=0)
    left = ~missing
    rejected = left & _flags(pc.is_in(review, pa.array(["reject", "disputed"])))
    left &= ~rejected
    links = ends[:, left & positive]
    doubtful = left & _flags(pairs["doubtful"]) & ~_flags(pc.equal(review, "accept"))
    left &= ~doubtful
    negatives = ends[:, left & ~positive]
    given = _index(pairs["split"], pa.array(SPLITS, TEXT))
    crossing = left & ((split[photo[ends]] != given).any(axis=0) | (given < 0))
    left &= ~crossing
    reasons = {
        "object_missing": missing,
        "review_rejects": rejected,
        "doubtful": doubtful,
        "crosses_splits": crossing,
    }
    refused = {reason: int(of.sum()) for reason, of in reasons.items() if of.any()}
    usable = pairs.select(["pair_id", "band", "similarity"])
    for name, column in (("anchor", ends[0]), ("other", ends[1]), ("positive", positive)):
        usable = usable.append_column(name, pa.array(column))
    usable = usable.filter(pa.array(left)).sort_by("pair_id")
    return usable.combine_chunks(), refused, links, negatives


def _groups(identity: Ints, links: Ints) -> Ints:
    """Group of each object: the smallest object that identities and links join it to."""
    named = np.flatnonzero(identity >= 0)
    first = np.full(identity.max(initial=-1) + 1, len(identity))
    np.minimum.at(first, identity[named], named)
    left = np.concatenate([links[0], first[identity[named]]])
    return connected(np.arange(len(identity)), left, np.concatenate([links[1], named]))


def _boxes(objects: pa.Table, photos: pa.Table, photo: Ints) -> NDArray[np.float64]:
    width, height = (photos[side].to_numpy()[photo].tolist() for side in ("width", "height"))
    sides = (objects[side].to_pylist() for side in ("x1", "y1", "x2", "y2"))
    boxes = (
        Box(*box).clip(w, h).round(2).as_list()
        for *box, w, h in zip(*sides, width, height, strict=True)
    )
    flat = np.fromiter(chain.from_iterable(boxes), np.float64, 4 * len(photo))
    return flat.reshape(-1, 4)


def _splits(photos: pa.Table, splits: pa.Table) -> Ints:
    places = _index(photos["image_id"], splits["image_id"])
    codes = _index(splits["split"], pa.array(SPLITS, TEXT))
    return np.append(codes, -1)[places]


def _with_spoken(objects: pa.Table, labels: pa.Table) -> pa.Table:
    places = pc.index_in(objects["object_id"], labels["object_id"].combine_chunks())
    cut = pc.or_kleene(objects["truncated"], objects["occluded"])
    return pa.table(
        {name: objects[name] for name in OBJECT_COLUMNS}
        | {"spoken": labels["label"].take(places), "cut": pc.fill_null(cut, False)}
    ).combine_chunks()


def _index(values: pa.ChunkedArray, of: pa.ChunkedArray | pa.Array) -> Ints:
    """Where each value stands first, -1 if nowhere."""
    known = of.combine_chunks() if isinstance(of, pa.ChunkedArray) else of
    found = pc.fill_null(pc.index_in(values, known, skip_nulls=True), -1)
    return np.asarray(found.to_numpy()).astype(np.int64)


def _codes(columns: Sequence[pa.ChunkedArray]) -> Ints:
    """Texts of the columns, one after the other, as integers; -1 for null."""
    chunks = pa.chunked_array([c.cast(TEXT) for column in columns for c in column.chunks], TEXT)
    codes = chunks.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)).astype(np.int64)


def _flags(column: pa.ChunkedArray) -> Flags:
    return np.asarray(column.to_numpy()).astype(bool)


def _both(one: Ints, other: Ints, count: int) -> Ints:
    """One number for each pair of numbers below a count, in any order."""
    return np.minimum(one, other) * count + np.maximum(one, other)


def contains(values: Ints, wanted: Ints) -> Flags:
    """Which of the wanted are among sorted values."""
    if not len(values):
        return np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return values[places] == wanted
