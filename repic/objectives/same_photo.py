"""References that are crops of the query photo itself, for objects that no other photo shows.

Objects of COCO, Objects365 or RefCOCO never recur, so that no pair links two photos of one; the
paper shows a crop of the query as the reference. It is mirrored, scaled and recoloured by chance,
so that no row is answered by comparing pixels. So are all other references of such a build, and a
negative of OCT shows another object *of the same label*: how a reference was made does not give
the answer away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from repic.config import SPLITS, ExampleSettings
from repic.images.augmentation import Augmentation
from repic.images.coordinates import Box
from repic.mining.pairs import first_rows
from repic.objectives.base import SeededRandom, ranks, seed_of
from repic.objectives.corpus import Corpus, Flags, Ints
from repic.objectives.neighborhood import Object

MAX_AREA_SHARE = 0.9
"""Largest share of the photo that an object may have: a larger crop is the query itself."""

MIN_SIDE = 16
"""Least side of an object in pixels; in less, nothing can be recognized."""

MIN_SCALED_SIDE = 48
"""Crops whose shorter side would have fewer pixels are made larger, not smaller."""

MAX_TRIES = 32
"""Other objects of a label that are tried as a negative of one query."""


def references(corpus: Corpus, settings: ExampleSettings, refused: Counter[str]) -> Ints:
    """The objects that are a reference of their own photo, in the order of `in_order`."""
    chosen = settings.same_photo
    if chosen.use == "never":
        return np.zeros(0, np.int64)
    split = corpus.split[corpus.photo]
    wanted = (split >= 0) & ~corpus.recurs if chosen.use == "auto" else split >= 0
    clear = wanted & are_clear(corpus)
    if missing := int((wanted & ~clear).sum()):
        refused["not_clear_enough_for_a_reference_of_its_own_photo"] += missing
    usable = in_order(corpus, np.flatnonzero(clear), settings.seed)
    by_photo = np.argsort(corpus.photo[usable], kind="stable")
    first = first_rows(corpus.photo[usable[by_photo]], chosen.max_per_photo)
    usable = in_order(corpus, usable[by_photo[first]], settings.seed)
    positives = split[corpus.anchor[corpus.positive]]
    kept = [
        of[: _most(int((positives == code).sum()), chosen.share, len(of))]
        for code in range(len(SPLITS))
        for of in (usable[split[usable] == code],)
    ]
    return in_order(corpus, np.concatenate(kept), settings.seed)


def in_order(corpus: Corpus, objects: Ints, seed: int) -> Ints:
    """Objects in an order that a hash gives."""
    order = ranks(seed_of(seed, "same photo"), corpus.object_keys[objects])
    return objects[np.lexsort((objects, order))]


def augmentation(settings: ExampleSettings, seed: int, obj: Object) -> Augmentation | None:
    """How the crop of an object is changed in the row of a seed; None without the setting."""
    if settings.same_photo.use == "never":
        return None
    # Its own generator: a row draws the same names and sentences with and without it.
    rng = SeededRandom(seed_of(seed, "augmentation", obj.object_id))
    box = Box(*obj.box)
    smaller, larger = rng.between(55, 85), rng.between(115, 160)
    is_reduced = rng.chance(0.5) and min(box.width, box.height) * 0.55 >= MIN_SCALED_SIDE
    return Augmentation(
        mirrored=rng.chance(0.5),
        scale=smaller if is_reduced else larger,
        brightness=rng.between(80, 120),
        contrast=rng.between(80, 120),
        saturation=rng.between(70, 130),
    )


def look_alikes(corpus: Corpus, objects: Ints, count: int) -> Ints:
    """Other objects of the same label in other photos, each certainly absent from the photo.

    These are the next ones in an order of the label, so that the choice rarely changes when photos
    are added, and then those that negative pairs link to the object.

    Args:
        objects: Of one split, in an order that a hash gives, int (n,).

    Returns:
        int (n, count), -1 where there are fewer.
    """
    label = corpus.label[objects]
    ring = np.argsort(label, kind="stable")
    first = np.searchsorted(label[ring], label)
    size = np.searchsorted(label[ring], label, side="right") - first
    place = np.empty_like(first)
    place[ring] = np.arange(len(ring))
    found = np.full((len(objects), count), -1)

    def add(rows: Ints, others: Ints) -> None:
        photo = corpus.photo[objects[rows]]
        near = corpus.near_duplicates[corpus.photo[others]] == corpus.near_duplicates[photo]
        good = ~near & corpus.absent(others, photo) & (found[rows] != others[:, None]).all(axis=1)
        rows, others = rows[good], others[good]
        found[rows, (found[rows] >= 0).sum(axis=1)] = others

    for step in range(1, MAX_TRIES):
        rows = np.flatnonzero((found < 0).any(axis=1) & (step < size))
        add(rows, objects[ring[first[rows] + (place[rows] - first[rows] + step) % size[rows]]])
    for row, others in _linked(corpus, objects, np.flatnonzero((found < 0).any(axis=1))):
        for other in others:
            if found[row, -1] < 0:
                add(np.array([row]), np.array([other]))
    return found


def _linked(corpus: Corpus, objects: Ints, rows: Ints) -> Iterator[tuple[int, list[int]]]:
    """For some of the objects, others of their label that negative pairs link to them."""
    number = np.full(len(corpus.photo), -1)
    number[objects] = np.arange(len(objects))
    wanted = np.zeros(len(objects) + 1, bool)
    wanted[rows] = True
    ends = np.stack([corpus.anchor, corpus.other])[:, ~corpus.positive]
    ends = ends[
        :, (number[ends] >= 0).all(axis=0) & (corpus.label[ends[0]] == corpus.label[ends[1]])
    ]
    ends = np.concatenate([ends, ends[::-1]], axis=1)
    ends = np.unique(ends[:, wanted[number[ends[0]]]], axis=1)
    for obj in np.unique(ends[0]).tolist():
        yield int(number[obj]), ends[1][ends[0] == obj].tolist()


def why_no_rows(settings: ExampleSettings) -> str:
    """Why nothing is a positive, with the remedy."""
    why = "no usable positive pair: nothing was found in two different photos"
    if settings.same_photo.use == "never":
        return f"{why}; examples.same_photo.use=auto shows crops of the query itself"
    return f"{why}, and no object is clear enough for a reference of its own photo"


def are_clear(corpus: Corpus) -> Flags:
    """Whether each object is complete, not too small, and not the whole photo."""
    sides = np.maximum(corpus.boxes[:, 2:] - corpus.boxes[:, :2], 0).min(axis=1)
    share = corpus.objects["area_share"].to_numpy()
    cut = corpus.objects["cut"].to_numpy(zero_copy_only=False)
    return np.asarray((sides >= MIN_SIDE) & (share <= MAX_AREA_SHARE) & ~cut)


def _most(others: int, share: float, available: int) -> int:
    """Number of objects so that they are at most this share of the positives of a split.

    Args:
        others: Positive pairs of the split.
    """
    if share >= 1 or not others:
        return available
    return min(available, round(others * share / (1 - share)))
