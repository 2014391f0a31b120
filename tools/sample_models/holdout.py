"""The last examination of the world's two models: on what neither training nor tuning has seen.

Photos of `RESERVED` identities in hard places (`backgrounds.HARD_PLACES`), in a world of their own.
The gallery are 100 identities in families of one category and one colour, so that only pattern and
accessory tell a member from its family. Detector and encoder work as in a build: a crop is what the
detector found, not what the world knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from repic.images.coordinates import Box
from repic.sample import composition
from repic.sample.backgrounds import HARD_PLACES
from repic.sample.identities import CATEGORIES, RESERVED, Identity, with_article
from repic.sample.seeds import generator
from repic.sample.world import World, WorldPhoto
from tools.sample_models.training_data import SIDE

if TYPE_CHECKING:
    from repic.models.detectors import Detection, Detector
    from repic.models.encoder import Encoder

WORLD = 2_000_000
GALLERY = 100
VIEWS = 6
"""Photos of each identity, at least: one for the gallery, the others ask."""
CAPTIONS = 20
SAME = 0.5
"""Intersection over union from which a detection is the object."""


@dataclass(frozen=True)
class HoldoutScores:
    """What came out.

    Attributes:
        map50: Mean over categories of the average precision at IoU 0.5, all points (PASCAL VOC
            2010).
        recall, iou: Share of the objects that are cut out under their label; their mean IoU.
        nearest: Share of the asking crops whose nearest gallery crop shows the same identity.
        caption: Share of crops that are nearest to their own caption among 20.
        crop: Share of captions that are nearest to their own crop among 20.
    """

    map50: float
    recall: float
    iou: float
    nearest: float
    caption: float
    crop: float


class ScoredDetection(NamedTuple):
    """A detection: category, confidence and whether it is an object that no surer one is."""

    label: str
    confidence: float
    right: bool


def gallery(among: Sequence[Identity] = RESERVED, count: int = GALLERY) -> list[Identity]:
    """Identities of whole families (one category, one colour) of two or more members."""
    families: dict[tuple[str, str], list[Identity]] = {}
    for identity in among:
        families.setdefault((identity.category, identity.colour), []).append(identity)
    names = [name for name in sorted(families) if len(families[name]) > 1]
    order = generator("gallery", count).permutation(len(names))
    return [one for i in order for one in families[names[i]]][:count]


def photos(
    identities: Sequence[Identity], places: Sequence[str] = tuple(HARD_PLACES), views: int = VIEWS
) -> list[WorldPhoto]:
    """Photos that show each identity `views` times or more."""
    camera = World(SIDE, WORLD)
    plans = composition.plans(identities, lambda _: "exam", WORLD, backgrounds=places)
    missing = dict.fromkeys(identities, views)
    made: list[WorldPhoto] = []
    while missing:
        (plan,) = islice(plans, 1)
        made.append(camera.take(plan))
        for identity in plan.identities:
            if missing.get(identity, 0) > 1:
                missing[identity] -= 1
            else:
                missing.pop(identity, None)
    return made


def examine(
    taken: Sequence[WorldPhoto], detector: Detector, encoder: Encoder, confidence: float
) -> HoldoutScores:
    """The marks of two models.

    Args:
        detector: Keeps boxes of little confidence too, which average precision asks for.
        confidence: From which a box is cut out and encoded, as in a build.
    """
    found = detector.detect([photo.image for photo in taken])
    scored = [s for photo, boxes in zip(taken, found, strict=True) for s in score(photo, boxes)]
    totals = dict.fromkeys(CATEGORIES, 0)
    for photo in taken:
        for seen in photo.objects:
            totals[seen.identity.category] += 1
    overlaps, identities, pictures = _crops(taken, found, confidence)
    vectors = encoder.encode_images(pictures)
    phrases = sorted({identity.phrase for identity in identities})
    texts = encoder.encode_texts([with_article(phrase) for phrase in phrases])
    told = np.array([phrases.index(identity.phrase) for identity in identities])
    caption, crop = _captions(vectors, texts, told)
    return HoldoutScores(
        map50=mean_average_precision(scored, totals),
        recall=len(overlaps) / sum(totals.values()),
        iou=float(np.mean(overlaps)) if overlaps else 0.0,
        nearest=nearest(vectors, told),
        caption=caption,
        crop=crop,
    )


def score(photo: WorldPhoto, found: Sequence[Detection]) -> list[ScoredDetection]:
    """Each detection, the surest first, takes the object of its label that it overlaps most."""
    free = dict(enumerate(photo.objects))
    scored = []
    for detection in sorted(found, key=lambda d: -d.confidence):
        fits = {
            i: detection.box.iou(seen.box)
            for i, seen in free.items()
            if seen.identity.category == detection.label
        }
        best = max(fits, key=lambda i: fits[i], default=-1)
        right = best >= 0 and fits[best] >= SAME
        if right:
            del free[best]
        scored.append(ScoredDetection(detection.label, detection.confidence, right))
    return scored


def mean_average_precision(scored: Sequence[ScoredDetection], totals: dict[str, int]) -> float:
    """Area under precision over recall, precision made monotonous, averaged over categories.

    Args:
        totals: Objects of each category; one without is left out.
    """
    areas = []
    for label, total in totals.items():
        if not total:
            continue
        mine = sorted((s for s in scored if s.label == label), key=lambda s: -s.confidence)
        right = np.cumsum([s.right for s in mine])
        if not mine:
            areas.append(0.0)
            continue
        precision = np.maximum.accumulate((right / np.arange(1, len(mine) + 1))[::-1])[::-1]
        areas.append(float((np.diff(right, prepend=0) * precision).sum() / total))
    return float(np.mean(areas))


def nearest(vectors: np.ndarray, identity: np.ndarray) -> float:
    """1-nearest-neighbour accuracy: the first crop of each identity is the gallery.

    Args:
        vectors: float32 (n, d), unit length.
        identity: int (n,).
    """
    _, first = np.unique(identity, return_index=True)
    asking = np.setdiff1d(np.arange(len(identity)), first)
    if not len(asking):
        return 0.0
    best = (vectors[asking] @ vectors[first].T).argmax(1)
    return float((identity[first][best] == identity[asking]).mean())


def _crops(
    taken: Sequence[WorldPhoto], found: Sequence[Sequence[Detection]], confidence: float
) -> tuple[list[float], list[Identity], list[Image.Image]]:
    """Of each object that the detector found: overlap, identity and crop."""
    overlaps, identities, pictures = [], [], []
    for photo, boxes in zip(taken, found, strict=True):
        for seen in photo.objects:
            fits = [
                (d.box.iou(seen.box), d.box)
                for d in boxes
                if d.confidence >= confidence and d.label == seen.identity.category
            ]
            overlap, box = max(fits, default=(0.0, seen.box), key=lambda fit: fit[0])
            if overlap >= SAME:
                overlaps.append(overlap)
                identities.append(seen.identity)
                pictures.append(cut(photo.image, box))
    return overlaps, identities, pictures


def cut(image: Image.Image, box: Box) -> Image.Image:
    x1, y1, x2, y2 = box.as_list()
    return image.crop((int(x1), int(y1), round(x2), round(y2)))


def _captions(vectors: np.ndarray, texts: np.ndarray, told: np.ndarray) -> tuple[float, float]:
    """Top-1 among 20: of captions for each crop, of crops for each crop's caption."""
    rng = generator("captions", len(told))
    right_caption, right_crop = [], []
    _, first = np.unique(told, return_index=True)
    for i, own in enumerate(told.tolist()):
        others = rng.permutation(np.delete(np.arange(len(texts)), own))[: CAPTIONS - 1]
        captions = texts[[own, *others]]
        right_caption.append(int((captions @ vectors[i]).argmax()) == 0)
        crops = vectors[[i, *first[others]]]
        right_crop.append(int((crops @ texts[own]).argmax()) == 0)
    return float(np.mean(right_caption)), float(np.mean(right_crop))
