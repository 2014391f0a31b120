"""References that are crops of the query photo itself, for objects that no other photo shows.

Objects of COCO, Objects365 or RefCOCO never recur, so that no pair links two photos of one; the
paper shows a crop of the query as the reference. It is mirrored, scaled and recoloured by chance,
so that no row is answered by comparing pixels. So are all other references of such a build, and a
negative of OCT shows another object *of the same label*: how a reference was made does not give
the answer away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from repic.config import SPLITS, ExampleSettings
from repic.images.augmentation import Augmentation
from repic.images.coordinates import Box
from repic.objectives.base import ObjectiveSummary, SeededRandom, rank, seed_of
from repic.objectives.corpus import Corpus, Object

MAX_AREA_SHARE = 0.9
"""Largest share of the photo that an object may have: a larger crop is the query itself."""

MIN_SIDE = 16
"""Least side of an object in pixels; in less, nothing can be recognized."""

MIN_SCALED_SIDE = 48
"""Crops whose shorter side would have fewer pixels are made larger, not smaller."""

MAX_TRIES = 32
"""Other objects of a label that are tried as a negative of one query."""


def objects_of(
    corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
) -> Mapping[str, list[Object]]:
    """Split -> the objects that are a reference of their own photo, ordered by id."""
    chosen = settings.same_photo
    found: dict[str, list[Object]] = {}
    if chosen.use == "never":
        return found
    for split in SPLITS:
        objects = list(_usable(corpus, split, settings, summary))
        ranked = in_order(objects, settings.seed)
        most = _most(corpus, split, chosen.share, len(ranked))
        found[split] = sorted(ranked[:most], key=lambda obj: obj.object_id)
    return found


def in_order(objects: Iterable[Object], seed: int) -> list[Object]:
    """Objects in an order that a hash gives."""
    order = seed_of(seed, "same photo")
    return sorted(objects, key=lambda obj: (rank(order, obj.object_id), obj.object_id))


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


class LookAlikes:
    """Objects of the same label in other photos of the same split."""

    def __init__(self, corpus: Corpus, objects: Iterable[Object], seed: int) -> None:
        """Index `objects`, all of one split."""
        self._corpus = corpus
        self._ring: dict[str, list[Object]] = defaultdict(list)
        for obj in in_order(objects, seed):
            self._ring[obj.label].append(obj)
        self._place = {
            obj.object_id: place
            for members in self._ring.values()
            for place, obj in enumerate(members)
        }
        self._linked: dict[str, list[str]] = defaultdict(list)
        for pair in corpus.pairs:
            if pair.kind == "negative":
                self._linked[pair.anchor_id].append(pair.other_id)
                self._linked[pair.other_id].append(pair.anchor_id)

    def of(self, obj: Object, count: int) -> list[Object]:
        """Up to `count` others, each certainly absent from the photo of `obj`.

        These are the next ones in an order of the label that a hash gives, so that the choice
        rarely changes when photos are added, and then those that negative pairs link to it.
        """
        query = self._corpus.photos[obj.image_id]
        absent = (
            other
            for other in self._candidates(obj)
            if self._corpus.photos[other.image_id].near_duplicate_group
            != query.near_duplicate_group
            and self._corpus.is_absent(other, query)
        )
        return list(islice({one.object_id: one for one in absent}.values(), count))

    def _candidates(self, obj: Object) -> Iterator[Object]:
        ring, place = self._ring[obj.label], self._place[obj.object_id]
        for step in range(1, min(MAX_TRIES, len(ring))):
            yield ring[(place + step) % len(ring)]
        for other_id in sorted(self._linked[obj.object_id]):
            other = self._corpus.objects[other_id]
            if other.object_id in self._place and other.label == obj.label:
                yield other


def _usable(
    corpus: Corpus, split: str, settings: ExampleSettings, summary: ObjectiveSummary
) -> Iterator[Object]:
    chosen = settings.same_photo
    for image_id in sorted(i for i, s in corpus.splits.items() if s == split):
        usable = []
        for obj in corpus.objects_of[image_id]:
            if chosen.use == "auto" and corpus.recurs(obj.object_id):
                continue
            if is_clear(obj):
                usable.append(obj)
            else:
                summary.refused["not_clear_enough_for_a_reference_of_its_own_photo"] += 1
        yield from in_order(usable, settings.seed)[: chosen.max_per_photo]


def why_no_rows(settings: ExampleSettings) -> str:
    """Why nothing is a positive, with the remedy."""
    why = "no usable positive pair: nothing was found in two different photos"
    if settings.same_photo.use == "never":
        return f"{why}; examples.same_photo.use=auto shows crops of the query itself"
    return f"{why}, and no object is clear enough for a reference of its own photo"


def is_clear(obj: Object) -> bool:
    """Whether the object is complete, not too small, and not the whole photo."""
    box = Box(*obj.box)
    is_large = min(box.width, box.height) >= MIN_SIDE
    return is_large and obj.area_share <= MAX_AREA_SHARE and not obj.cut


def _most(corpus: Corpus, split: str, share: float, available: int) -> int:
    """Number of objects so that they are at most this share of the positives of a split."""
    others = sum(pair.kind == "positive" and pair.split == split for pair in corpus.pairs)
    if share >= 1 or not others:
        return available
    return min(available, round(others * share / (1 - share)))
