"""Held-out measurement of detector and encoder, on data that neither training nor tuning uses.

Photos show `RESERVED` identities on unseen backgrounds (`backgrounds.HARD_PLACES`). The gallery has
100 identities in families of one category and one colour, so that members differ only in pattern
and accessory. As in a build, crops are those of the detector, not the ground truth.
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
"""Minimum photos per identity: one for the gallery, the others are queries."""
CAPTIONS = 20
SAME = 0.5
"""Minimum IoU for a detection to match an object."""


@dataclass(frozen=True)
class HoldoutScores:
    """Scores on the held-out photos.

    Attributes:
        map50: Mean over categories of the average precision at IoU 0.5, all points (PASCAL VOC
            2010).
        recall, iou: Share of objects detected under their label; their mean IoU.
        nearest: Share of query crops whose nearest gallery crop shows the same identity.
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
    """A detection, and whether it matches an object that no more confident one matches."""

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
    """Photos that show each identity at least `views` times."""
    camera = World(SIDE, WORLD)
    plans = composition.plans(identities, lambda _: "exam", WORLD, backgrounds=places)
    missing = dict.fromkeys(identities, views)
    photos_taken: list[WorldPhoto] = []
    while missing:
        (plan,) = islice(plans, 1)
        photos_taken.append(camera.take(plan))
        for identity in plan.identities:
            if missing.get(identity, 0) > 1:
                missing[identity] -= 1
            else:
                missing.pop(identity, None)
    return photos_taken


def measure(
    taken: Sequence[WorldPhoto], detector: Detector, encoder: Encoder, confidence: float
) -> HoldoutScores:
    """Scores of a detector and an encoder.

    Args:
        detector: Must also return boxes of low confidence, for average precision.
        confidence: Minimum confidence of a box to be cropped and encoded, as in a build.
    """
    detections = detector.detect([photo.image for photo in taken])
    scored = [
        s for photo, boxes in zip(taken, detections, strict=True) for s in score(photo, boxes)
    ]
    totals = dict.fromkeys(CATEGORIES, 0)
    for photo in taken:
        for item in photo.objects:
            totals[item.identity.category] += 1
    overlaps, identities, pictures = _crops(taken, detections, confidence)
    vectors = encoder.encode_images(pictures)
    phrases = sorted({identity.phrase for identity in identities})
    texts = encoder.encode_texts([with_article(phrase) for phrase in phrases])
    phrase_index = np.array([phrases.index(identity.phrase) for identity in identities])
    caption, crop = _captions(vectors, texts, phrase_index)
    return HoldoutScores(
        map50=mean_average_precision(scored, totals),
        recall=len(overlaps) / sum(totals.values()),
        iou=float(np.mean(overlaps)) if overlaps else 0.0,
        nearest=nearest(vectors, phrase_index),
        caption=caption,
        crop=crop,
    )


def score(photo: WorldPhoto, found: Sequence[Detection]) -> list[ScoredDetection]:
    """Match each detection, most confident first, to the best free object of its label."""
    free = dict(enumerate(photo.objects))
    scored = []
    for detection in sorted(found, key=lambda d: -d.confidence):
        fits = {
            i: detection.box.iou(item.box)
            for i, item in free.items()
            if item.identity.category == detection.label
        }
        best = max(fits, key=lambda i: fits[i], default=-1)
        right = best >= 0 and fits[best] >= SAME
        if right:
            del free[best]
        scored.append(ScoredDetection(detection.label, detection.confidence, right))
    return scored


def mean_average_precision(scored: Sequence[ScoredDetection], totals: dict[str, int]) -> float:
    """Area under the monotone precision-recall curve, averaged over categories.

    Args:
        totals: Objects per category; categories without objects are left out.
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
    """Overlap, identity and crop of each detected object."""
    overlaps, identities, pictures = [], [], []
    for photo, boxes in zip(taken, found, strict=True):
        for item in photo.objects:
            fits = [
                (d.box.iou(item.box), d.box)
                for d in boxes
                if d.confidence >= confidence and d.label == item.identity.category
            ]
            overlap, box = max(fits, default=(0.0, item.box), key=lambda fit: fit[0])
            if overlap >= SAME:
                overlaps.append(overlap)
                identities.append(item.identity)
                pictures.append(cut(photo.image, box))
    return overlaps, identities, pictures


def cut(image: Image.Image, box: Box) -> Image.Image:
    x1, y1, x2, y2 = box.as_list()
    return image.crop((int(x1), int(y1), round(x2), round(y2)))


def _captions(
    vectors: np.ndarray, texts: np.ndarray, caption_index: np.ndarray
) -> tuple[float, float]:
    """Top-1 accuracy among 20: captions for each crop, and crops for each caption."""
    rng = generator("captions", len(caption_index))
    right_caption, right_crop = [], []
    _, first = np.unique(caption_index, return_index=True)
    for i, own in enumerate(caption_index.tolist()):
        others = rng.permutation(np.delete(np.arange(len(texts)), own))[: CAPTIONS - 1]
        captions = texts[[own, *others]]
        right_caption.append(int((captions @ vectors[i]).argmax()) == 0)
        crops = vectors[[i, *first[others]]]
        right_crop.append(int((crops @ texts[own]).argmax()) == 0)
    return float(np.mean(right_caption)), float(np.mean(right_crop))
